"""The coordinator hears only whom it should, saves before it acts, and answers last."""

from __future__ import annotations

import pytest

from supervisor_roll.listener.coordinator import RETRY_SECS
from supervisor_roll.rollout.reports import Warned
from supervisor_roll.rollout.settings import Settings
from supervisor_roll.rollout.timing import CONFIRM_SECS
from supervisor_roll.rollout.words import COMPLETE, FAILED
from supervisor_roll.wire.messages import (
    Ack,
    Booting,
    Counted,
    Loaded,
    Message,
    Ready,
    Reloaded,
    Unready,
)
from tests.fakes.site import BOOT, PIDS, Program, Site, ready_site, saved

FACTS = {"age": 1, "changes": 1, "workers": 2, "gunicorn": "27.0.1"}
HEALTH = {
    "health": "/_status",
    "health_host": "www.example.org",
    "health_headers": "X-Forwarded-Proto: https\nAccept: a/b",
    "health_timeout_secs": "2",
}


def answer_to(site: Site, program: Program, pid: int, kind: str, **fields: str) -> Message:
    """What a worker that says this is answered."""
    program.say(pid, kind, **fields)
    site.settle()
    assert site.answers[-1].pid == pid
    assert site.answers[-1].sent is not None
    return site.answers[-1].sent


# --- strangers --------------------------------------------------------------------------------


def test_a_message_from_a_stranger_is_dropped() -> None:
    site, _ = ready_site()
    site.fork(PIDS + 400, PIDS + 300, "gunicorn: master, of somebody else")
    site.fork(PIDS + 401, PIDS + 400, "gunicorn: worker, of somebody else")
    site.fork(PIDS + 19, PIDS + 11, "started by our worker")
    before = saved(site)
    strangers = (PIDS + 400, PIDS + 401, PIDS + 19)
    for pid in strangers:
        for kind in (Booting, Loaded, Ready, Unready, Counted, Reloaded):
            assert site.ignores(pid, kind(**FACTS))
    site.settle()
    assert saved(site) == before
    assert all(one.sent is None for one in site.answers if one.pid in strangers)
    assert not {one.pid for one in site.table.watched} & set(strangers)


def test_a_worker_cannot_speak_as_its_arbiter() -> None:
    site, program = ready_site()
    site.hear(PIDS + 11, Counted(changes=99, workers=1), answered=False)
    site.settle()
    assert site.arbiter(program).count == 2


@pytest.mark.parametrize("fields", [{}, {"age": "x"}, {"age": 1, "changes": "x"}])
def test_a_message_that_breaks_the_protocol_is_dropped(fields: dict[str, str]) -> None:
    site, _ = ready_site()
    assert site.ignores(PIDS + 11, Ready(**fields))


@pytest.mark.parametrize(
    "fields",
    [
        {"workers": -1, "changes": 99},
        {"boot_secs": -5},
        {"timeout": "soon"},
        {"timeout": "soon", "gunicorn": "20.1.0"},
    ],
)
def test_nonsense_from_a_worker_of_ours_does_not_end_the_listener(fields: dict[str, str]) -> None:
    """Its application runs in the same process, and can say what it likes."""
    site, program = ready_site()
    site.ask("myapp", min_ready_secs="10")
    site.hear(PIDS + 11, Ready(**{**FACTS, **fields}))
    site.settle()
    assert program.serving == [1, 2, 3]


def test_the_dead_are_not_heard() -> None:
    site, program = ready_site()
    program.say(PIDS + 11, Ready)
    site.die(PIDS + 11)
    site.settle()
    arbiter = site.arbiter(program)
    assert {one.pid for one in arbiter.workers} == {PIDS + 12}


# --- save, act, answer ------------------------------------------------------------------------


def test_it_saves_then_acts_then_answers() -> None:
    site, program = ready_site(later=(Booting, Loaded))
    site.ask("myapp")
    site.log.clear()
    program.say(PIDS + 13, Ready)
    site.inbox.popleft()()
    assert site.log == []  # nothing leaves before pump
    site.coordinator.pump()
    assert site.log[:3] == ["exchange", "TTOU myapp", "answer READY 5000013"]


def test_what_is_answered_is_saved() -> None:
    site, _ = ready_site()
    workers = [one for part, one in saved(site).items() if part.startswith("worker ")]
    assert [one["id"][0] for one in workers if one["ready"]] == [PIDS + 11, PIDS + 12]


def test_a_pump_with_nothing_new_says_nothing() -> None:
    site, _ = ready_site()
    for _ in range(3):
        site.coordinator.pump()
    assert site.log == []
    assert site.coordinator.next_deadline() is None


def test_while_supervisord_does_not_answer_nothing_is_lost_and_nobody_is_answered() -> None:
    site, program = ready_site(later=(Booting, Loaded))
    job = site.ask("myapp")
    site.log.clear()
    site.supervisord.unreachable = True
    program.say(PIDS + 13, Ready)
    site.settle()
    assert site.log == []
    assert site.answers[-1].sent is None
    assert not site.answers[-1].dropped
    assert site.coordinator.next_deadline() == site.now + RETRY_SECS
    site.pass_time(5)
    assert site.log == []

    site.supervisord.unreachable = False
    program.boots = lambda age: BOOT
    site.pass_time(RETRY_SECS)
    assert site.log[:3] == ["exchange", "TTOU myapp", "answer READY 5000013"]
    assert site.is_done(job)
    assert program.serving == [3, 4]


def test_a_signal_that_supervisord_refuses_is_sent_again_later() -> None:
    site, program = ready_site()
    site.supervisord.refuses_signals = True
    job = site.ask("myapp")
    assert site.signals == []
    site.supervisord.refuses_signals = False
    site.pass_time(CONFIRM_SECS + RETRY_SECS)
    assert site.is_done(job)
    assert program.serving == [3, 4]


def test_a_request_that_came_beside_a_refused_signal_is_taken_at_the_next_tick() -> None:
    site, program = ready_site()
    site.start("other", workers=1, pid=PIDS + 50)
    site.coordinator.processes_changed()
    site.settle()
    program.boots = lambda age: (Booting, Loaded)
    site.ask("myapp")
    site.supervisord.refuses_signals = True
    program.say(PIDS + 13, Ready)  # so that there is a signal to send
    site.inbox.popleft()()
    job = site.ask("other")
    site.supervisord.refuses_signals = False
    site.pass_time(CONFIRM_SECS + RETRY_SECS)
    site.coordinator.rung()
    site.settle()
    assert site.reports(job)[-1] == ("other", COMPLETE)


# --- what workers are answered ----------------------------------------------------------------


def test_a_worker_that_has_loaded_is_told_what_to_check() -> None:
    site, program = ready_site(1, myapp=HEALTH)
    answer = answer_to(site, program, PIDS + 11, Loaded)
    assert isinstance(answer, Ack)
    assert answer.health == "/_status"
    assert answer.health_host == "www.example.org"
    assert answer.health_headers == ("X-Forwarded-Proto: https", "Accept: a/b")
    assert float(answer.health_timeout_secs) == 2
    assert not answer_to(site, program, PIDS + 11, Ready, status="200 OK").health


def test_ready_without_the_check_that_was_asked_for_is_not_ready() -> None:
    site, program = ready_site(1, myapp=HEALTH)
    assert answer_to(site, program, PIDS + 11, Ready).health == "/_status"
    arbiter = site.arbiter(program)
    assert arbiter.ready == 0
    answer_to(site, program, PIDS + 11, Ready, status="200 OK")
    assert arbiter.ready == 1


def test_where_no_check_can_be_made_ready_is_ready() -> None:
    site, program = ready_site(1, myapp=HEALTH)
    answer_to(site, program, PIDS + 11, Ready, unchecked=True)
    assert site.arbiter(program).ready == 1


def test_a_sick_worker_is_held_in_a_rollout_and_else_never() -> None:
    site, program = ready_site(2, myapp={**HEALTH, "ready_timeout_secs": "30"})
    assert not answer_to(site, program, PIDS + 11, Loaded).hold  # a cold start
    for pid in (PIDS + 11, PIDS + 12):
        answer_to(site, program, pid, Ready, status="200 OK")
    program.boots = lambda age: (Booting, Loaded)
    program.exit(PIDS + 11)
    site.settle()
    respawned = answer_to(site, program, PIDS + 13, Unready, status="503")
    assert not respawned.hold
    answer_to(site, program, PIDS + 13, Ready, status="200 OK")

    job = site.ask("myapp")
    held = answer_to(site, program, PIDS + 14, Unready, status="503")
    assert (held.hold, float(held.hold_secs)) == (True, 30)
    site.pass_time(60)
    assert site.reports(job)[-1] == ("myapp", FAILED)
    assert "503" in site.facts(job, FAILED)["why"]

    # A check never prevents that a crashed one is replaced, not even by the same release.
    program.exit(PIDS + 12)
    site.settle()
    assert not answer_to(site, program, PIDS + 15, Unready, status="503").hold


@pytest.mark.parametrize(
    ("settings", "alone"), [({}, True), (HEALTH, False), ({"release": "1"}, False)]
)
def test_where_nothing_is_to_be_said_to_it_before_a_worker_may_say_ready_alone(
    settings: dict[str, str], alone: bool
) -> None:
    site, program = ready_site(2, myapp=settings, later=(Booting, Loaded))
    status = {"status": "200 OK"} if settings is HEALTH else {}
    assert answer_to(site, program, PIDS + 11, Ready, **status).ready_alone is alone
    assert not answer_to(site, program, PIDS + 11, Loaded).ready_alone


@pytest.mark.parametrize("settings", [HEALTH, {"release": "1"}])
def test_ready_alone_where_it_may_not_be_counts_as_loaded(settings: dict[str, str]) -> None:
    site, program = ready_site(1, later=(Booting,), myapp=settings)
    program.exit(PIDS + 11)
    site.settle()
    status = {"status": "200 OK"}
    answer = answer_to(site, program, PIDS + 12, Ready, alone=True, **status)
    assert not answer.ready_alone
    assert answer.health == ("/_status" if settings is HEALTH else "")
    assert site.arbiter(program).ready == 0
    answer_to(site, program, PIDS + 12, Ready, **status)
    assert site.arbiter(program).ready == 1


def test_in_a_rollout_ready_alone_counts_as_loaded() -> None:
    """It would not be known what the worker runs."""
    site, program = ready_site(2, later=(Booting,))
    job = site.ask("myapp")
    site.settle()
    assert not answer_to(site, program, PIDS + 13, Ready, alone=True).ready_alone
    assert site.arbiter(program).ready == 2
    assert program.serving == [1, 2, 3]
    program.say(PIDS + 13, Ready)
    site.settle()
    assert program.serving == [2, 3]
    assert not site.is_done(job)


def test_only_a_worker_that_a_rollout_claims_stays_surplus() -> None:
    site, program = ready_site(2, later=(Booting, Loaded))
    program.signal("TTIN")  # an operator's own
    site.settle()
    assert not answer_to(site, program, PIDS + 13, Ready).surplus
    site.ask("myapp", min_ready_secs="10")
    assert answer_to(site, program, PIDS + 14, Ready).surplus


# --- warnings ---------------------------------------------------------------------------------


def test_what_the_listener_may_not_do_is_told_once() -> None:
    site, _ = ready_site(2)
    site.table.forbidden = True
    site.settings["myapp"] = Settings(drain_timeout_secs=5)
    job = site.ask("myapp", max_surge="0", max_unavailable="1")
    site.pass_time(300)
    warnings = [one.facts["text"] for one in site.found(job)[0] if one.kind == Warned.kind]
    assert any("may not send SIGTERM to worker 5000011" in text for text in warnings)
    assert len(warnings) == len(set(warnings))
    assert site.is_done(job)


@pytest.mark.parametrize(
    ("version", "timeout", "warned"),
    [
        ("20.1.0", "2", True),
        ("21.2.0", "2", True),
        ("20.1.0", "30", False),
        ("22.0.0", "2", False),
        ("27.0.1", "2", False),
        ("20.1.0", "0", False),
    ],
)
def test_a_boot_near_the_timeout_is_warned_of_where_gunicorn_bounds_boots(
    version: str, timeout: str, warned: bool
) -> None:
    site = Site()
    site.start("myapp", workers=1, gunicorn=version, timeout=timeout)
    site.settle()
    job = site.ask("myapp")
    texts = [one.facts["text"] for one in site.found(job)[0] if one.kind == Warned.kind]
    assert bool(texts) is warned
    assert all("timeout=2" in text and "raise timeout" in text for text in texts)


def test_hup_in_a_rollout_is_warned_of() -> None:
    site, program = ready_site(2)
    job = site.ask("myapp", min_ready_secs="10")
    program.say(program.id.pid, Reloaded)
    site.settle()
    assert "HUP" in site.facts(job, Warned.kind)["text"]


@pytest.mark.parametrize(
    ("runs_as", "says", "served"),
    [(0, "33", [33]), (33, "33", [33]), (33, "34", []), (33, "0", []), (0, "-1", []), (0, "x", [])],
)
def test_an_arbiter_is_believed_whom_its_workers_will_run_as_if_it_can_have_them_so(
    runs_as: int, says: str, served: list[int]
) -> None:
    site, program = ready_site(1)
    heard: list[int] = []
    site.coordinator._messages._serve = heard.extend
    site.table.uids[program.id.pid] = runs_as
    site.hear(program.id.pid, Reloaded(uid=says), answered=False)
    assert heard == served
    (worker, *_) = program.workers
    site.hear(worker, Ready(age=1, uid=34))
    assert heard == served
