"""What is not rolled is not touched, and who asked is told what to do about it."""

from __future__ import annotations

from typing import Any

import pytest

from supervisor_roll.rollout.errors import BadSetting
from supervisor_roll.rollout.installing import HOOK_LINE
from supervisor_roll.rollout.reports import Began, Note, Refused, Skipped, Warned
from supervisor_roll.rollout.words import COMPLETE
from supervisor_roll.wire.mailbox import DRY_RUN
from supervisor_roll.wire.messages import Booting, Counted, Loaded, Ready
from supervisor_roll.wire.program import ProcessInfo
from supervisor_roll.wire.successor import Reread, Resize
from tests.fakes.site import BOOT, PIDS, Site, ready_site, site_with


def why_refused(site: Site, program: str = "myapp", **asked: Any) -> str:
    """Ask for it, which is refused at once, and nothing is touched; what is said of it."""
    job = site.ask(program, **asked)
    assert site.reports(job) == [(program, Refused.kind)]
    assert site.signals == []
    assert program not in site.supervisord.mailbox.statuses
    text: str = site.facts(job, Refused.kind)["why"]
    return text


@pytest.mark.parametrize(
    ("strategy", "facts", "why"),
    [
        ("workers", {"preload": True}, "preload_app: each worker"),
        ("workers", {"stale": "x.settings"}, "modules of the application itself: x.settings"),
        ("workers", {"reuse_port": True, "gunicorn": "24.0.0"}, "reuse_port"),
        ("workers", {"reuse_port": True, "gunicorn": "27.0.1"}, "reuse_port"),
        ("workers", {"missing": "pre_fork child_exit"}, "without the hooks pre_fork child_exit"),
        ("workers", {"missing": "pre_fork"}, HOOK_LINE),
        ("workers", {"reload": True}, "turn reload off"),
        ("auto", {"preload": True}, "without the hooks on_starting, when_ready and on_exit"),
        ("auto", {"preload": True, "listens": True, "reuse_port": True}, "reuse_port"),
        ("auto", {"preload": True, "listens": True, "reload": True}, "turn reload off"),
        ("auto", {"stale": "x", "listens": True}, "listening sockets have not been handed in"),
    ],
)
def test_a_gunicorn_that_cannot_be_rolled_is_left_alone(
    strategy: str, facts: dict[str, str], why: str
) -> None:
    site = Site(myapp={"strategy": strategy})
    site.start("myapp", workers=2, **facts)
    site.settle()
    assert why in why_refused(site)


def test_reuse_port_is_fine_where_all_workers_share_one_socket() -> None:
    site = Site()
    site.start("myapp", workers=1, reuse_port=True, gunicorn="23.0.0")
    site.settle()
    assert site.reports(site.ask("myapp"))[-1] == ("myapp", COMPLETE)


def test_a_check_that_the_workers_class_cannot_make_is_refused() -> None:
    site = Site(myapp={"health": "/_status"})
    site.start("myapp", workers=1, unchecked=True, worker_class="uvicorn_worker.UvicornWorker")
    site.settle()
    why = why_refused(site)
    assert "health=/_status" in why
    assert "uvicorn_worker.UvicornWorker" in why


@pytest.mark.parametrize(
    ("command_line", "below", "why"),
    [
        ("gunicorn: master [app]", "", HOOK_LINE),
        ("python3 /srv/bin/gunicorn app", "", HOOK_LINE),
        ("/bin/sh /srv/run.sh", "/srv/bin/gunicorn app:app", "write exec before gunicorn"),
        ("sudo -u www gunicorn app", "/srv/bin/gunicorn app:app", "set user= in the program's"),
        ("uv run gunicorn app", "/x/python /x/gunicorn app", "own gunicorn instead of uv (/x/gun"),
        ("python3 /usr/bin/pipenv run gunicorn", "/srv/bin/gunicorn app", "instead of pipenv"),
        ("dumb-init gunicorn app", "/srv/bin/gunicorn app:app", "remove dumb-init: supervisord"),
        ("/srv/launcher", "/srv/bin/gunicorn app:app", "start gunicorn directly"),
        ("/bin/cat", "", "it is no Gunicorn program (pid 5000050: /bin/cat)"),
    ],
)
def test_a_program_that_has_never_been_heard_is_refused_with_what_to_do(
    command_line: str, below: str, why: str
) -> None:
    site = Site()
    site.start_other("myapp", PIDS + 50, command_line, below)
    site.now += 3600
    assert why in why_refused(site)


def test_a_gunicorn_that_has_only_just_started_is_waited_for() -> None:
    site = Site()
    site.start_other("myapp", PIDS + 50, "gunicorn: master [app]")
    job = site.ask("myapp", ready_timeout_secs="20")
    site.pass_time(19)
    assert site.reports(job) == [("myapp", Note.kind)]  # that it waits
    assert "never if the hooks are missing" in site.facts(job, Note.kind)["text"]
    site.pass_time(3)
    assert site.reports(job) == [("myapp", Note.kind), ("myapp", Refused.kind)]


def test_a_shell_that_is_to_execute_gunicorn_is_waited_for() -> None:
    site = Site()
    site.start_other("myapp", PIDS + 50, "/bin/sh -c 'migrate; exec /srv/bin/gunicorn app'")
    job = site.ask("myapp", ready_timeout_secs="20", wildcard=True)
    site.pass_time(19)
    assert site.reports(job) == [("myapp", Note.kind)]
    site.pass_time(3)
    assert site.reports(job)[-1] == ("myapp", Skipped.kind)


def test_a_young_program_that_cannot_be_heard_is_refused_at_once() -> None:
    """What will never change is not waited for."""
    site = Site()
    site.start_other("wrapped", PIDS + 50, "sh -c x", "/srv/bin/gunicorn app")
    site.fork(PIDS + 52, PIDS + 51, "gunicorn: worker [app]")
    site.start_other("naked", PIDS + 60, "gunicorn: master [app]", "gunicorn: worker [app]")
    site.table.shares_memory = False
    job = site.ask("wrapped", "naked")
    assert site.reports(job) == [("wrapped", Refused.kind), ("naked", Refused.kind)]


def test_a_gunicorn_whose_environment_was_not_passed_on_is_told_so() -> None:
    site = Site()
    site.start_other("myapp", PIDS + 50, "gunicorn: master [app]")
    site.table.environment = {"PATH": "/bin"}
    job = site.ask("myapp")
    assert site.reports(job) == [("myapp", Refused.kind)]
    assert "SUPERVISOR_ROLL_SOCKET" in site.facts(job, Refused.kind)["why"]
    assert HOOK_LINE not in site.facts(job, Refused.kind)["why"]


def test_an_arbiter_that_has_spoken_before_its_workers_is_waited_for() -> None:
    """It has the hooks, whatever it executes: an application that embeds Gunicorn does."""
    site = Site()
    program = site.start("myapp", workers=0)
    site.table.processes[program.id.pid].command_line = "python serve.py"
    program.say(program.id.pid, Counted)
    site.settle()
    job = site.ask("myapp", ready_timeout_secs="20", wildcard=True)
    site.pass_time(19)
    assert site.reports(job) == [("myapp", Note.kind)]
    site.pass_time(3)
    assert "none of its workers" in site.facts(job, Refused.kind)["why"]


def test_a_wildcard_skips_what_is_no_gunicorn() -> None:
    site = site_with(blue=1)
    site.start_other("redis", PIDS + 50, "redis-server *:6379")
    site.coordinator.processes_changed()
    job = site.ask("redis", "blue", wildcard=True)
    assert site.reports(job)[0] == ("redis", Skipped.kind)
    assert "no Gunicorn program" in site.facts(job, Skipped.kind)["why"]
    assert site.reports(job)[-1] == ("blue", COMPLETE)
    assert site.is_done(job)


def test_a_wildcard_does_not_pass_over_a_gunicorn_without_hooks() -> None:
    site = Site()
    site.start_other("myapp", PIDS + 50, "gunicorn: master [app]")
    site.now += 3600
    why_refused(site, wildcard=True)


@pytest.mark.parametrize("state", ["STOPPED", "EXITED", "FATAL"])
def test_what_does_not_run_is_refused(state: str) -> None:
    site = site_with(myapp=1)
    site.programs["myapp"].halt()
    site.supervisord.infos = [ProcessInfo("myapp", 0, state)]
    site.coordinator.processes_changed()
    why = why_refused(site)
    assert f"it is {state}" in why
    assert "supervisorctl start myapp" in why


def test_a_program_that_supervisord_no_longer_has_is_refused() -> None:
    assert why_refused(Site(), "gone")


def test_a_bad_section_is_refused_and_named() -> None:
    site = site_with(myapp=1)
    site.bad["myapp"] = BadSetting("max_surge", "many", "must be a count", "/etc/x [roll:myapp]")
    assert "/etc/x [roll:myapp]: max_surge=many" in why_refused(site)


def test_a_bad_value_in_a_request_is_refused() -> None:
    site = site_with(myapp=1)
    assert "must not both be 0" in why_refused(site, max_surge="0", max_unavailable="0")


def test_a_program_that_failed_to_start_is_refused_with_its_log() -> None:
    """With redirect_stderr there is no log of stderr."""
    site = site_with(myapp=1)
    site.programs["myapp"].halt()
    for log, command in (("stdout", "tail myapp)"), ("stderr", "tail myapp stderr)")):
        site.supervisord.infos = [ProcessInfo("myapp", 0, "FATAL", log)]
        site.coordinator.processes_changed()
        assert command in why_refused(site)


def test_a_changed_number_of_processes_is_told_once_and_left() -> None:
    site = site_with(**{"web:web_0": 1, "web:web_1": 1})
    site.supervisord.found = Reread(resized=[Resize("web", added=["web:web_2"])])
    job = site.ask("web:web_0", "web:web_1", kind=DRY_RUN, preflight="false")
    warnings = [one for one in site.reports(job) if one[1] == Warned.kind]
    assert warnings == [("web:web_0", Warned.kind)]
    assert "web:web_2 to be started" in site.facts(job, Warned.kind)["text"]
    assert "rollupdate web" in site.facts(job, Warned.kind)["text"]


# --- gathering --------------------------------------------------------------------------------


def test_a_worker_that_boots_when_a_rollout_is_asked_for_is_waited_for() -> None:
    site = site_with(myapp=2)
    program = site.programs["myapp"]
    program.boots = lambda age: (Booting, Loaded) if age == 3 else BOOT
    program.exit(PIDS + 101)
    site.settle()
    job = site.ask("myapp")
    assert site.reports(job) == []
    program.say(PIDS + 103, Ready)
    site.settle()
    site.pass_time(1)
    assert site.facts(job, Began.kind)["ready"] == 2
    assert site.is_done(job)


def test_an_arbiter_has_as_many_workers_as_the_process_table_shows_after_a_while() -> None:
    site = Site()
    program = site.start("myapp", workers=1)
    program._num_workers, program.changes = 3, 2
    site.settle()
    program.say(program.id.pid, Counted)
    site.settle()
    job = site.ask("myapp", ready_timeout_secs="60")
    site.pass_time(4)
    assert site.reports(job) == [("myapp", Note.kind)]  # that it waits
    site.pass_time(3)
    assert site.facts(job, Began.kind)["desired"] == 1


@pytest.mark.parametrize("version", ["\u00b2", "9" * 5000])
def test_a_program_that_tells_nonsense_of_itself_costs_the_others_nothing(version: str) -> None:
    site, program = ready_site(2)
    program.facts["gunicorn"] = version
    site.start("other", 1, pid=PIDS + 500)
    site.settle()
    program.say(next(iter(program.workers)), Ready)
    site.settle()
    site.ask("myapp")
    job = site.ask("other")
    site.pass_time(90)
    assert ("other", COMPLETE) in site.reports(job)


@pytest.mark.parametrize("count", ["1e14", "-1"])
def test_a_count_that_no_arbiter_can_want_is_not_believed(count: str) -> None:
    site, program = ready_site(2)
    site.hear(program.id.pid, Counted(changes=9, workers=count), answered=False)
    assert site.coordinator.registry.siblings("myapp")[0].count == 2
