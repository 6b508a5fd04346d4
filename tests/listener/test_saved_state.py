"""What an earlier listener saved is not believed more than a caller: it may be anything."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from supervisor_roll.listener.arbiters.arbiter import MAX_WORKERS, Worker
from supervisor_roll.rollout.events import InstanceId
from supervisor_roll.rollout.reports import Note, Warned
from supervisor_roll.rollout.settings import Settings
from supervisor_roll.wire import mailbox as wire
from supervisor_roll.wire.gunicorn_facts import GunicornFacts
from supervisor_roll.wire.messages import Booting, Failed, Ready, Unready
from tests.fakes.site import PIDS, Site, ready_site, save, saved, site_with

STRANGER = 4_000_000
ODD: tuple[object, ...] = (None, True, -1, 10**400, 1e300, "x", [], {}, [[[]]], {"id": {}})


def rolling() -> Site:
    """A listener is killed while its rollout waits for a fresh worker."""
    site, _ = ready_site(2, later=(Booting,))
    site.ask("myapp", ready_timeout_secs="600")
    site.pass_time(3)
    return site


def restarted(site: Site, state: dict[str, Any]) -> None:
    save(site, state)
    site.restart()
    site.pass_time(5)


def places(data: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path to each value in it."""
    if path:
        yield path
    keys = data if isinstance(data, dict) else range(len(data)) if isinstance(data, list) else ()
    for key in keys:
        yield from places(data[key], (*path, key))


@pytest.mark.parametrize("state", ["{", "[]", "3", "null", "[" * 100_000, '"x"', "\ud800"])
def test_a_state_that_is_none_is_ignored(state: str) -> None:
    site = rolling()
    parts = site.supervisord.mailbox.state["myapp"]
    site.supervisord.mailbox.state = {"myapp": dict.fromkeys(parts, state), "": {"clock": state}}
    site.restart()
    site.pass_time(5)
    assert site.coordinator.active.runs == {}


def test_whatever_stands_anywhere_in_it_never_ends_the_listener() -> None:
    base = rolling()
    text = json.dumps(saved(base))
    paths = list(places(json.loads(text)))
    assert len(paths) > 100
    for number, path in enumerate(paths):
        state = json.loads(text)
        inner = state
        for key in path[:-1]:
            inner = inner[key]
        inner[path[-1]] = ODD[number % len(ODD)]
        restarted(rolling() if number % 40 == 0 else base, state)


def test_settings_are_read_from_the_configuration_again() -> None:
    site = rolling()
    site.settings["myapp"] = Settings.parsed({"drain_timeout_secs": "7", "health": "/new"})
    state: Any = saved(site)
    state["settings"] |= {"on_failure": "id > F", "release": "id > F"}
    save(site, state)
    site.restart()
    rollout = site.coordinator.active.runs["myapp"].rollout
    assert rollout is not None
    asked = {"ready_timeout_secs": "600"}
    assert rollout.settings == site.settings["myapp"].replaced(asked)
    assert rollout.settings.on_failure == rollout.settings.release == ""


def test_values_that_no_request_may_have_cost_the_run() -> None:
    site = rolling()
    common: Any = saved(site, "")
    [job] = [part for part in common if part.startswith("job ")]
    common[job]["values"]["on_failure"] = "id > F"
    save(site, common, "")
    restarted(site, saved(site))
    assert site.coordinator.active.runs == {}


def test_only_workers_of_an_arbiter_that_supervisord_runs_are_signalled() -> None:
    """A worker's id was replaced by that of a process which is nobody's."""
    site = rolling()
    state: Any = saved(site)
    text = json.dumps(state)
    fresh = next(
        one["id"] for part, one in state.items() if part.startswith("instance ") and one["fresh"]
    )
    site.start_other("other", STRANGER - 1, "sh", below="sleep")
    stranger = site.table.identity(STRANGER)
    assert stranger is not None
    text = text.replace(json.dumps(fresh), json.dumps(list(stranger)))
    save(site, json.loads(text))
    site.restart()
    site.ask("myapp", kind=wire.ABORT)
    site.pass_time(120)
    assert not [one for one in site.log if str(STRANGER) in one]


def test_what_workers_say_of_themselves_is_no_longer_than_a_line() -> None:
    site, program = ready_site(2)
    for worker in list(program.workers):
        for kind, key in ((Unready, "status"), (Failed, "error")):
            site.say(worker, kind(age=1, **{key: "\1" * 15000}), answered=False)
    site.settle()
    assert len(json.dumps(saved(site))) < 15000


# --- whatever there is to say, supervisord takes it -------------------------------------------


def test_what_a_worker_says_in_ever_other_words_is_warned_of_a_few_times() -> None:
    site, program = ready_site(2)
    job = site.ask("myapp", min_ready_secs="600")
    worker = next(iter(program.workers))
    for number in range(200):
        version = f"21.2.0.{number} {'x' * 5000}"
        fields = {"age": 1, "boot_secs": 30, "timeout": 30, "gunicorn": version}
        site.say(worker, Ready(**fields), answered=False)
    site.settle()
    assert 0 < [kind for _, kind in site.reports(job)].count(Warned.kind) <= 30
    assert len(json.dumps(saved(site))) < 90_000


def test_a_text_is_cut_by_the_room_that_it_takes_in_what_is_saved() -> None:
    site, program = ready_site(2)
    for worker in list(program.workers):
        fields = {"age": 1, "status": "\N{GRINNING FACE}" * 300}
        site.say(worker, Unready(**fields), answered=False)
    site.settle()
    workers = [one for part, one in saved(site).items() if part.startswith("worker ")]
    texts = [one["health"] for one in workers]
    assert all(0 < len(json.dumps(text)) <= 302 for text in texts)


def test_a_program_has_no_more_workers_than_can_be_saved() -> None:
    site, program = ready_site(1)
    (arbiter,) = site.coordinator.registry.arbiters.values()
    claimed = [InstanceId(PIDS + 10_000 + number, 0) for number in range(MAX_WORKERS - 3)]
    arbiter.workers.update({one: Worker(one, 1) for one in claimed})
    for pid in range(PIDS + 20_000, PIDS + 20_005):
        site.fork(pid, program.id.pid, "gunicorn: worker", marked=True)
        site.hear(pid, Booting(age=1), answered=False)
    assert len(arbiter.workers) == MAX_WORKERS


def test_what_has_no_room_in_one_message_to_supervisord_comes_in_several() -> None:
    site, _ = ready_site(2)
    job = site.ask("myapp", kind=wire.PAUSE)
    outbox = site.coordinator.outbox
    for number in range(200):
        outbox.report(job, f"p{number}", Note("x" * 150_000))
    outbox.done.append(job)
    site.supervisord.received.clear()
    site.settle()
    said = site.supervisord.received
    assert len(said) > 20
    assert sum(len(one.reports) for one in said) == 200
    assert [bool(one.done or one.state) for one in said[-2:]] == [False, True]
    assert not outbox.full


def test_a_program_of_which_too_much_is_known_is_left_out_of_what_is_saved() -> None:
    site = site_with(large=2, small=2)
    large, small = site.coordinator.registry.arbiters.values()
    large.facts = GunicornFacts(conf="x" * 20_000_000)
    site.coordinator.jobs.statuses["large"] = wire.Status("failed", 1, why="x" * 2_000_000)
    site.coordinator.jobs.statuses["small"] = wire.Status("failed", 1, why="x" * 20_000)
    site.coordinator.outbox.unsaved |= {"large", "small"}
    site.settle()
    assert not site.coordinator.outbox.full
    assert list(site.supervisord.mailbox.statuses) == ["small"]
    site.restart()
    assert list(site.coordinator.registry.arbiters) == [small.id]
