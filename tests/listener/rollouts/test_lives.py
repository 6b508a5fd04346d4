"""What is known of each worker's life: what it said, what was wanted of it, what became of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from supervisor_roll.listener.arbiters.arbiter import Worker
from supervisor_roll.listener.rollouts import active
from supervisor_roll.listener.rollouts.lives import life_of
from supervisor_roll.rollout.events import InstanceId
from supervisor_roll.rollout.instances import RETIRE, STOP, Instance
from supervisor_roll.rollout.reports import WorkerLife
from supervisor_roll.rollout.words import BAKING, BOOTING, DRAINING, FAILED, GONE, READY
from supervisor_roll.wire import mailbox as wire
from supervisor_roll.wire.codec import from_data
from supervisor_roll.wire.messages import Booting, Failed, Loaded, Ready
from tests.fakes.arbiter_rollouts import BIND
from tests.fakes.site import BOOT, EPOCH, Program, Site, ready_site, saved

ID = InstanceId(7, 70)
BOOTED = 1.5  # what a fake worker says its boot took


def kept(site: Site) -> dict[int, WorkerLife]:
    """The lives in the history of the first rollout, by pid."""
    job = site.ask("1", kind=wire.HISTORY)
    rows = [one for one in site.found(job)[0] if one.kind == WorkerLife.kind]
    return {one.facts["pid"]: from_data(WorkerLife, one.facts) for one in rows}


def living(site: Site) -> dict[int, WorkerLife]:
    known = site.coordinator.active
    return {one.pid: one for one in known.lives("myapp", known.runs.get("myapp"))}


def rollable(folder: Path, workers: int = 2, **given: list[str]) -> tuple[Site, Program]:
    site, program = ready_site(workers, **given)
    site.history = str(folder / "history.sqlite")
    site.restart()
    site.pass_time(10)
    return site, program


def test_of_what_is_replaced_and_of_what_replaces_it(tmp_path: Path) -> None:
    site, program = rollable(tmp_path)
    program.busy = True
    old, began = list(program.workers), EPOCH + site.now
    site.ask("myapp", max_surge="2")
    now = living(site)
    assert [(now[pid].state, now[pid].outdated) for pid in old] == [(DRAINING, True)] * 2
    site.pass_time(3)
    program.drained()
    site.settle()
    found = kept(site)
    new = list(program.workers)
    assert list(found) == [*old, *new]
    for pid in old:
        one = found[pid]
        assert (one.state, one.outdated, one.how) == (GONE, True, "")
        assert one.ready_at == pytest.approx(one.began + BOOTED, abs=0.02)
        assert one.retiring_at == pytest.approx(began, abs=0.1)
        assert one.gone_at == pytest.approx(began + 3, abs=0.1)
    for pid in new:
        one = found[pid]
        assert (one.state, one.outdated) == (READY, False)
        assert one.began == pytest.approx(began, abs=0.1)
        assert (one.retiring_at, one.gone_at, one.boot_secs) == (None, None, BOOTED)


def test_the_culprit_of_a_failed_rollout_is_told_from_what_was_stopped_with_it(
    tmp_path: Path,
) -> None:
    site, program = rollable(tmp_path)
    old = set(program.workers)
    boots = iter([(Booting, Failed), (Booting,)])
    program.boots = lambda age: next(boots, BOOT)
    site.ask("myapp", max_unavailable="2", max_surge="0")
    site.pass_time(200)
    by_state: dict[str, list[str]] = {}
    for pid, one in kept(site).items():
        if pid not in old:
            by_state.setdefault(one.state, []).append(one.how)
    assert by_state[FAILED] == ["its boot failed"], by_state


def test_what_the_kernel_says_of_an_end_is_kept(tmp_path: Path) -> None:
    site, program = rollable(tmp_path)
    first, _ = program.workers
    program.boots = lambda age: (Booting,) if age == 3 else BOOT
    job = site.ask("myapp")
    site.table.ends[first] = "killed by SIGKILL"
    program.exit(first)
    site.settle()
    assert site.facts(job, "left") == {"pid": first, "why": "killed by SIGKILL"}
    assert living(site)[first].how == "it exited on its own: killed by SIGKILL"


def test_one_that_is_never_ready_has_failed(tmp_path: Path) -> None:
    site, program = rollable(tmp_path)
    program.boots = lambda age: (Booting, Loaded)
    site.ask("myapp", ready_timeout_secs="10")
    site.pass_time(200)
    [one] = [one for one in kept(site).values() if one.state == FAILED]
    assert one.how.startswith(f"worker {one.pid} ")
    assert (one.ready_at, one.gone_at is not None) == (None, True)


def test_those_of_an_arbiter_drain_from_its_promotion_on(tmp_path: Path) -> None:
    site, program = rollable(tmp_path, binds=[BIND])
    old = set(program.workers)
    job = site.ask("myapp", strategy="arbiter")
    site.pass_time(60)
    assert site.reports(job)[-1] == ("myapp", "complete")
    found = kept(site)
    assert {pid for pid, one in found.items() if one.outdated} == old
    for pid, one in found.items():
        assert (one.state, one.retiring_at is not None) == (
            (GONE, True) if pid in old else (READY, False)
        )
    site.close()


def test_another_listener_knows_of_those_that_had_gone(tmp_path: Path) -> None:
    site, program = rollable(tmp_path)
    old = set(program.workers)
    program.boots = lambda age: () if age == 4 else BOOT
    site.ask("myapp")
    before = living(site)
    [gone] = [one for one in before.values() if one.gone_at]
    assert [part for part in saved(site) if part.startswith("gone ")] == [
        f"gone {gone.pid} {gone.began}"
    ]
    site.restart()
    site.settle()
    assert living(site)[gone.pid] == gone
    for kind in (Booting, Loaded, Ready):
        program.say(max(program.workers), kind)
    site.settle()
    assert {pid for pid, one in kept(site).items() if one.outdated} == old
    assert not [part for part in saved(site) if part.startswith("gone ")]


def test_of_many_that_have_gone_the_last_ones_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(active, "MOST_GONE", 2)
    site, program = rollable(tmp_path, 4)
    *_, third, fourth = program.workers
    site.ask("myapp")
    assert [pid for pid, one in kept(site).items() if one.gone_at] == [third, fourth]


def test_outside_a_rollout_the_last_one_tells_which_are_outdated(tmp_path: Path) -> None:
    site, program = rollable(tmp_path)
    first, second = program.workers
    lives = site.coordinator.active.lives("myapp", None, [second])
    assert [(one.pid, one.state, one.outdated) for one in lives] == [
        (first, READY, False),
        (second, READY, True),
    ]


def instance(**known: object) -> Instance:
    return Instance(**{"id": ID, "age": 1, "fresh": True, "since": 0.0, "heard": True} | known)


@pytest.mark.parametrize(
    ("worker", "what", "ended", "state", "how"),
    [
        (Worker(ID, 1), None, None, BOOTING, ""),
        (Worker(ID, 1, ready=True), None, None, READY, ""),
        (Worker(ID, 1, ready=True), instance(), None, BAKING, ""),
        (Worker(ID, 1, ready=True), instance(available=True), None, READY, ""),
        (Worker(ID, 1, ready=True), instance(kept=True), None, READY, ""),
        (Worker(ID, 1, unhealthy=True, health="503"), instance(), None, FAILED, ""),
        (Worker(ID, 1, unhealthy=True), instance(), None, BOOTING, ""),
        (Worker(ID, 1, ready=True), instance(), "", FAILED, "it exited on its own"),
        (Worker(ID, 1, ready=True), instance(fresh=False), "", GONE, "it exited on its own"),
        (Worker(ID, 1), None, "killed by SIGKILL", GONE, "killed by SIGKILL"),
        (
            Worker(ID, 1, ready=True),
            instance(fresh=False),
            "exit status 3",
            GONE,
            "it exited on its own: exit status 3",
        ),
        (
            Worker(ID, 1, ready=True),
            instance(fresh=False, wanted_gone=RETIRE),
            "killed by SIGKILL",
            GONE,
            "killed by SIGKILL",
        ),
        (
            Worker(ID, 1, leaving="was sent ABRT"),
            instance(fresh=False),
            "",
            GONE,
            "was sent ABRT",
        ),
        (Worker(ID, 1), instance(wanted_gone=STOP), "", GONE, ""),
        (Worker(ID, 1, failed="no module"), instance(wanted_gone=STOP), "", FAILED, "no module"),
        (
            Worker(ID, 1, ready=True),
            instance(fresh=False, wanted_gone=RETIRE, escalations=1),
            "",
            GONE,
            "it did not leave in time, and was sent ABRT",
        ),
        (
            Worker(ID, 1, ready=True),
            instance(fresh=False, wanted_gone=RETIRE, escalations=2),
            "",
            GONE,
            "it did not leave in time, and was sent KILL",
        ),
    ],
)
def test_the_state_and_what_was_unusual(
    worker: Worker, what: Instance | None, ended: str | None, state: str, how: str
) -> None:
    life = life_of(worker, what, EPOCH, EPOCH + 100, 100.0, ended=ended)
    assert (life.pid, life.state, life.how) == (7, state, how)
