"""Out of service, and back: it is saved first, then the load balancers are told."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from supervisor_roll.listener.side_processes.process import NotPossible, Result
from supervisor_roll.rollout.errors import BadSetting
from supervisor_roll.wire import mailbox as wire
from supervisor_roll.wire.messages import Booting
from tests.fakes.site import Site, ready_site, saved

BY_HAPROXY = {"haproxy_socket": "/run/haproxy.sock", "haproxy_server": "web/s1"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def site_in(folder: Path, **settings: str) -> Site:
    site, _ = ready_site(2, myapp={"rolldrain_secs": "10", "ready_timeout_secs": "30", **settings})
    site.folder = str(folder)
    site.restart()
    site.settle()
    return site


def drain(site: Site) -> str:
    return site.ask("myapp", kind=wire.DRAIN)


def back(site: Site) -> str:
    return site.ask("myapp", kind=wire.READY)


def told(site: Site) -> str:
    return site.coordinator.agent_answer(["myapp"]).strip()


def drained_in_status(site: Site) -> str:
    status = site.supervisord.mailbox.statuses.get("myapp")
    return status.drained if status else ""


def test_it_is_out_at_once_and_the_balancer_has_its_time_to_notice(folder: Path) -> None:
    site = site_in(folder)
    job = drain(site)
    assert told(site) == "up 0% #drain"
    assert [one.name for one in folder.iterdir()] == ["drained.myapp"]
    assert drained_in_status(site) == "the operator"
    assert site.coordinator.watched_at_rest() is None
    site.pass_time(9.9)
    assert site.reports(job) == []
    site.pass_time(0.1)
    site.check_facts(job, "drained", secs=10.0, sessions=0)
    assert site.is_done(job)
    assert site.coordinator.watched_at_rest() is not None


def test_it_is_back_at_once_if_its_workers_are_ready(folder: Path) -> None:
    site = site_in(folder, rolldrain_secs="0")
    drain(site)
    job = back(site)
    assert site.reports(job) == [("myapp", "in-service")]
    assert (told(site), list(folder.iterdir()), drained_in_status(site)) == ("up 100%", [], "")
    assert site.is_done(job)


def test_it_waits_until_all_of_its_workers_are_ready(folder: Path) -> None:
    site = site_in(folder, rolldrain_secs="0")
    program = site.programs["myapp"]
    drain(site)
    program.boots = lambda age: (Booting,)
    first, second = program.workers
    program.exit(first)
    site.settle()
    job = back(site)
    site.pass_time(29)
    assert (site.reports(job), told(site)) == ([], "up 0% #drain")
    site.pass_time(1)  # as one is ready, and there is no more time
    assert (site.reports(job), told(site)) == ([("myapp", "in-service")], "up 50%")
    drain(site)
    program.exit(second)
    site.settle()
    job = back(site)
    site.pass_time(30)
    assert "no worker was ready within 30 s" in site.facts(job, "undone")["why"]
    assert (told(site), drained_in_status(site)) == ("up 0% #drain", "the operator")


def test_it_is_saved_before_anybody_is_told(folder: Path) -> None:
    site = site_in(folder, **BY_HAPROXY)
    seen: list[bool] = []
    site.drain_sides.result = Result(True, 3.0, "", "0\n")
    command = site.drain_sides.command
    site.drain_sides.command = lambda *about: (  # type: ignore[method-assign]
        seen.append("drained" in saved(site)),
        command(*about),
    )
    drain(site)
    assert seen == [True]


def test_a_listener_that_starts_anew_knows_it(folder: Path) -> None:
    site = site_in(folder)
    job = drain(site)
    (folder / "drained.myapp").unlink()  # their folder was made anew
    (folder / "drained.other").touch()
    site.restart()
    site.settle()
    assert told(site) == "up 0% #drain"
    assert drained_in_status(site) == "the operator"
    assert [one.name for one in folder.iterdir()] == ["drained.myapp"]
    assert site.is_done(job)  # nobody waits for what was waited for


def test_haproxy_is_told_as_it_is_configured(folder: Path) -> None:
    site = site_in(folder, **BY_HAPROXY)
    site.drain_sides.result = Result(True, 3.0, "", "2\n")
    job = drain(site)
    site.pass_time(0)
    site.check_facts(job, "drained", sessions=2)
    site.pass_time(0)
    job = back(site)
    site.pass_time(0)
    assert site.reports(job) == [("myapp", "in-service")]
    lines = [shlex.split(str(about[0])) for about in site.drain_sides.commands]
    assert [line[-4:] for line in lines] == [
        ["/run/haproxy.sock", "web/s1", "drain", "10"],
        ["/run/haproxy.sock", "web/s1", "ready", "10"],
    ]
    assert all(line[1:3] == ["-I", "-S"] for line in lines)
    assert all(about[1].environment == {} for about in site.drain_sides.commands)


def test_a_haproxy_that_cannot_be_told_leaves_it_in_service(folder: Path) -> None:
    site = site_in(folder, **BY_HAPROXY)
    site.drain_sides.result = Result(False, 0.1, "HAProxy refuses it", "")
    job = drain(site)
    site.pass_time(0)
    assert site.facts(job, "undone")["why"] == "HAProxy refuses it"
    assert (told(site), list(folder.iterdir()), drained_in_status(site)) == ("up 100%", [], "")
    site.drain_sides.result = Result(True, 0.1, "", "0\n")
    drain(site)
    site.drain_sides.result = Result(False, 0.1, "HAProxy is away", "")
    assert site.facts(drain(site), "undone")["why"] == "HAProxy is away"
    assert told(site) == "up 0% #drain"  # as before: somebody relies on it
    site.drain_sides.result = Result(True, 0.1, "", "0\n")
    back(site)
    site.drain_sides.refuses = NotPossible("cannot run it")
    assert site.facts(drain(site), "undone")["why"] == "cannot run it"
    assert told(site) == "up 100%"


def test_the_last_word_counts(folder: Path) -> None:
    site = site_in(folder)
    first = drain(site)
    second = back(site)
    assert "asked for ready meanwhile" in site.facts(first, "undone")["why"]
    assert site.is_done(first)
    assert site.reports(second) == [("myapp", "in-service")]
    site.pass_time(20)
    assert told(site) == "up 100%"


def test_a_bad_section_is_told_and_of_all_the_others_are_skipped(folder: Path) -> None:
    site = site_in(folder, rolldrain_secs="0")
    site.start_other("plain", 7000001, "python -m http.server")
    job = site.ask("myapp", "plain", kind=wire.DRAIN, wildcard=True)
    assert sorted(site.reports(job)) == [("myapp", "drained"), ("plain", "skipped")]
    assert site.is_done(job)
    site.bad["myapp"] = BadSetting("max_surge", "x", "must be a count")
    site.read = None
    job = back(site)
    assert site.reports(job) == [("myapp", "refused")]
    assert site.is_done(job)


def test_where_the_file_cannot_be_made_all_else_goes_on(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    site = site_in(folder / "gone", rolldrain_secs="0")
    assert site.reports(drain(site)) == [("myapp", "drained")]
    assert "a worker of myapp cannot be told" in caplog.text
    assert site.reports(back(site)) == [("myapp", "in-service")]


def test_a_program_of_any_name_has_a_file_of_its_own(folder: Path) -> None:
    site = site_in(folder)
    names = {site.coordinator._drains.marker(one) for one in ("a:b", "a/../b", "x" * 500, "ä")}
    assert len(names) == 4
    assert all(Path(one).parent == folder and len(Path(one).name) < 250 for one in names)
