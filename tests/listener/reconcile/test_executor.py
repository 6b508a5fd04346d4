"""What the configuration has changed is carried out: by itself where so wished, else as asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from supervisor.xmlrpc import Faults

from supervisor_roll.listener.configuration.sections import BadConfiguration
from supervisor_roll.listener.coordinator import RETRY_SECS
from supervisor_roll.listener.reconcile.executor import REMOVE_SECS
from supervisor_roll.rollout.reports import (
    Began,
    Broken,
    Note,
    Refused,
    Replaced,
    Succeeded,
    Warned,
)
from supervisor_roll.rollout.words import COMPLETE, FAILED
from supervisor_roll.wire.mailbox import UPDATE
from supervisor_roll.wire.successor import LIVE, NEEDS_ARBITER, NEEDS_UPDATE, Change, Reread, Resize
from tests.fakes.arbiter_rollouts import ALL_OF_IT, BIND, NEW, OLD, kinds
from tests.fakes.site import Program, Site, ready_site

ENVIRONMENT = Change("myapp", {"environment": NEEDS_ARBITER}, "digest 1")
STOPSIGNAL = Change("myapp", {"stopsignal": LIVE}, "digest 2")
# Longer than the files must have been still (settle_secs).
SETTLED_SECS = 5.0
Changes = Callable[..., None]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    yield from configured_site(tmp_path, auto="true")


@pytest.fixture
def manual_site(tmp_path: Path) -> Iterator[Site]:
    """Nothing is rolled by itself here."""
    yield from configured_site(tmp_path)


def configured_site(folder: Path, **section: str) -> Iterator[Site]:
    site, _ = ready_site(2, [BIND], myapp=section)
    site.path = str(folder / "supervisord.conf")
    site.configures = {"myapp": "myapp"}
    change(site)
    site.pass_time(SETTLED_SECS)
    site.log.clear()
    yield site
    site.close()


def change(site: Site, *changes: Change, **found: list[object]) -> None:
    """Somebody writes the configuration file; this is then what supervisord finds."""
    site.supervisord.found = Reread(list(changes), **found)
    path = Path(site.path)
    path.write_text((path.read_text() if path.exists() else "") + "; changed\n")


def jobs(site: Site) -> list[str]:
    """Those that anything has been reported of, in their order."""
    return list(
        dict.fromkeys(report.job for said in site.supervisord.received for report in said.reports)
    )


def flip(current: Path, release: str) -> None:
    (current.parent / release).mkdir(exist_ok=True)
    current.unlink(missing_ok=True)
    current.symlink_to(release)


def update(site: Site, *names: str) -> str:
    return site.ask(*(names or ["all"]), kind=UPDATE)


def texts(site: Site, job: str, kind: str = Note.kind) -> list[str]:
    return [one.facts["text"] for one in site.found(job)[0] if one.kind == kind]


# --- by itself ----------------------------------------------------------------------------------


def test_what_has_changed_is_rolled_by_itself_and_once(site: Site) -> None:
    change(site, ENVIRONMENT)
    site.pass_time(SETTLED_SECS)
    [job] = jobs(site)
    assert kinds(site, job) == ALL_OF_IT
    assert site.is_done(job)
    status = site.supervisord.mailbox.statuses["myapp"]
    assert (status.by, status.arbiter) == (
        "the listener, since its configuration has changed: environment",
        NEW,
    )
    site.pass_time(60)
    assert jobs(site) == [job]
    assert site.signals == ["succeed myapp", "promote myapp"]


def test_what_failed_is_not_tried_again_before_it_is_another_change(site: Site) -> None:
    def broken(successor: Program) -> None:
        successor.is_broken = site.successors == 1

    site.successor = broken
    change(site, ENVIRONMENT)
    site.pass_time(60)
    [job] = jobs(site)
    assert kinds(site, job) == [Began.kind, Succeeded.kind, Broken.kind, FAILED]
    site.restart()  # which a listener after this one knows
    site.pass_time(60)
    assert jobs(site) == [job]
    change(site, Change("myapp", {"environment": NEEDS_ARBITER}, "digest 3"))
    site.pass_time(60)
    assert kinds(site, jobs(site)[1])[-1] == COMPLETE


def test_a_rollout_that_is_refused_since_one_is_under_way_is_not_its_end(tmp_path: Path) -> None:
    current = tmp_path / "current"
    flip(current, "v1")
    section = {"auto": "true", "strategy": "arbiter", "watch": str(current), "min_ready_secs": "5"}
    for site in configured_site(tmp_path, **section):
        flip(current, "v2")
        while not jobs(site):
            site.pass_time(0.5)
        refused = site.ask("myapp")
        assert site.reports(refused) == [("myapp", Refused.kind)]
        site.pass_time(60)
        assert kinds(site, jobs(site)[0])[-1] == COMPLETE
        flip(current, "v1")
        site.pass_time(60)
        assert kinds(site, jobs(site)[-1])[-1] == COMPLETE
        assert len(jobs(site)) == 3, "both releases were rolled"


def test_what_supervisord_heeds_at_once_is_adopted_by_itself(site: Site) -> None:
    change(site, STOPSIGNAL)
    site.pass_time(SETTLED_SECS)
    [job] = jobs(site)
    assert site.reports(job) == [("myapp", Note.kind)]
    assert texts(site, job) == [
        "what has changed is now in effect (its configuration has changed: stopsignal)"
    ]
    assert site.is_done(job)
    assert site.signals == ["adopt myapp"]


def test_what_supervisord_refuses_to_adopt_is_warned_of_once(site: Site) -> None:
    change(site, STOPSIGNAL)
    site.supervisord.faults["adopt"] = (Faults.FAILED, "myapp: not while it runs")
    site.pass_time(60)
    [job] = jobs(site)
    assert texts(site, job, Warned.kind) == [
        "its configuration has changed: stopsignal, which cannot be applied: myapp: not while it "
        "runs"
    ]
    assert site.is_done(job)


def test_while_supervisord_does_not_answer_a_change_waits(site: Site) -> None:
    change(site, STOPSIGNAL)
    site.supervisord.deaf_to.add("adopt")
    site.pass_time(30)
    assert site.signals == []
    site.supervisord.deaf_to.clear()
    site.pass_time(SETTLED_SECS)
    assert site.signals == ["adopt myapp"]
    assert site.reports(jobs(site)[0]) == [("myapp", Note.kind)]


def test_a_listener_killed_at_any_moment_rolls_a_change_once(tmp_path: Path) -> None:
    def changed(killed_at: int) -> tuple[Site, str]:
        folder = tmp_path / str(killed_at)
        folder.mkdir()
        sites = configured_site(folder, auto="true")
        site = next(sites)
        site.points, site.killed_at = 0, killed_at
        change(site, ENVIRONMENT)
        site.pass_time(120)
        next(sites, None)
        return site, site.programs["myapp"].id.pid

    whole, _ = changed(-1)
    for killed_at in range(whole.points):
        site, pid = changed(killed_at)
        assert pid == NEW, killed_at
        assert [one for one in site.signals if one.startswith("succeed")] in (
            ["succeed myapp"],
            ["succeed myapp"] * 2,
        ), killed_at
        assert kinds(site, jobs(site)[-1])[-1] == COMPLETE, killed_at
        assert site.least_serving["myapp"] == 2, killed_at


def test_a_program_that_is_not_to_be_rolled_by_itself_is_not(manual_site: Site) -> None:
    change(manual_site, ENVIRONMENT)
    manual_site.pass_time(60)
    assert jobs(manual_site) == []
    assert manual_site.signals == []
    assert manual_site.coordinator.next_deadline() is None


# --- as asked -----------------------------------------------------------------------------------


def test_an_update_rolls_what_has_changed(manual_site: Site) -> None:
    change(manual_site, ENVIRONMENT)
    job = update(manual_site)
    assert kinds(manual_site, job) == ALL_OF_IT
    assert manual_site.is_done(job)
    assert manual_site.supervisord.mailbox.statuses["myapp"].by == "the operator"


def test_an_update_of_what_has_not_changed_is_over_at_once(manual_site: Site) -> None:
    job = update(manual_site)
    assert manual_site.is_done(job)
    assert manual_site.reports(job) == []
    assert manual_site.signals == []


def test_an_update_tries_again_what_failed(site: Site) -> None:
    def broken(successor: Program) -> None:
        successor.is_broken = site.successors == 1

    site.successor = broken
    change(site, ENVIRONMENT)
    site.pass_time(60)
    assert kinds(site, jobs(site)[0])[-1] == FAILED
    job = update(site)
    assert kinds(site, job)[-1] == COMPLETE


def test_an_update_says_what_it_leaves_to_the_operator(manual_site: Site) -> None:
    change(manual_site, Change("myapp", {"socket": NEEDS_UPDATE}, "digest", "run this"))
    job = update(manual_site)
    assert texts(manual_site, job) == ["myapp has changed: socket; run this"]
    assert manual_site.is_done(job)
    job = update(manual_site, "nobody")
    assert manual_site.facts(job, Refused.kind)["why"].startswith("nobody: no such program")
    assert manual_site.signals == []


def test_an_update_is_carried_out_by_the_next_listener_if_one_is_killed(tmp_path: Path) -> None:
    def updated(killed_at: int) -> tuple[Site, str]:
        folder = tmp_path / str(killed_at)
        folder.mkdir()
        sites = configured_site(folder)
        site = next(sites)
        change(site, ENVIRONMENT, resized=[Resize("myapp", added=["myapp:more"])])
        site.configures = {"myapp": "myapp", "myapp:more": "myapp"}
        site.points, site.killed_at = 0, killed_at
        job = update(site)
        site.pass_time(60)
        next(sites, None)
        return site, job

    whole, _ = updated(-1)
    for killed_at in range(whole.points):
        site, job = updated(killed_at)
        assert site.is_done(job), killed_at
        assert kinds(site, job)[-1] == COMPLETE, killed_at
        assert "resize myapp" in site.signals, killed_at
        assert site.programs["myapp"].id.pid == NEW, killed_at


def test_an_update_with_an_invalid_configuration_touches_nothing(manual_site: Site) -> None:
    manual_site.invalid = BadConfiguration(manual_site.path, "no such section", "x")
    job = update(manual_site)
    assert kinds(manual_site, job) == [Refused.kind]
    assert "no such section" in manual_site.facts(job, Refused.kind)["why"]
    assert manual_site.is_done(job)
    manual_site.invalid = None
    manual_site.supervisord.faults["reread"] = (Faults.CANT_REREAD, "program:myapp: no user")
    job = update(manual_site)
    assert manual_site.facts(job, Refused.kind)["why"] == (
        "the configuration is invalid: program:myapp: no user"
    )
    assert manual_site.is_done(job)


def test_an_update_that_supervisord_does_not_answer_is_asked_again(manual_site: Site) -> None:
    change(manual_site, STOPSIGNAL)
    manual_site.supervisord.deaf_to.add("reread")
    job = update(manual_site)
    manual_site.pass_time(10)
    assert not manual_site.is_done(job)
    manual_site.supervisord.deaf_to.clear()
    manual_site.pass_time(RETRY_SECS)
    assert manual_site.is_done(job)
    assert manual_site.signals == ["adopt myapp"]
    assert len(texts(manual_site, job)) == 1


def test_all_that_takes_no_rollout_is_done_and_told(manual_site: Site) -> None:
    manual_site.settings["other"] = manual_site.settings["myapp"]
    manual_site.configures = {"myapp": "myapp", "myapp:more": "myapp", "other": "other"}
    change(manual_site, resized=[Resize("myapp", added=["myapp:more"])], added=["other"])
    job = update(manual_site)
    assert manual_site.signals == ["resize myapp", "add other"]
    assert site_texts(manual_site, job) == {
        "myapp": "it now has as many processes as configured (its processes have changed: "
        "myapp:more added)",
        "other": "added, and started as it is configured (it is new)",
    }
    assert manual_site.is_done(job)


def site_texts(site: Site, job: str) -> dict[str, str]:
    return {one.program: one.facts["text"] for one in site.found(job)[0]}


def test_what_is_configured_no_more_is_stopped_and_then_removed(manual_site: Site) -> None:
    program = manual_site.programs["myapp"]
    program.busy = True
    update(manual_site)  # it is known what it was
    manual_site.configures = {"other": "other"}
    change(manual_site, removed=["myapp"])
    job = update(manual_site)
    assert manual_site.is_done(job)
    assert manual_site.signals == ["stop myapp"]
    manual_site.pass_time(30)
    assert manual_site.signals == ["stop myapp"]  # it drains
    program.drained()
    manual_site.settle()
    manual_site.pass_time(REMOVE_SECS)
    assert manual_site.signals == ["stop myapp", "remove myapp"]
    assert manual_site.coordinator.next_deadline() is None
    assert program.id.pid == OLD
    assert site_texts(manual_site, job)["myapp"].startswith("it is no longer configured")
    assert Replaced.kind not in kinds(manual_site, job)
