"""A listener may be killed at any moment, also while an arbiter is being replaced."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from supervisor_roll.rollout.reports import ENDS, Began, Refused
from supervisor_roll.rollout.words import ABORTED, COMPLETE, FAILED
from supervisor_roll.wire import mailbox as wire
from supervisor_roll.wire.messages import Booting, Loaded, Ready, Unready
from supervisor_roll.wire.successor import NEEDS_ARBITER, Change, Reread
from tests.fakes.arbiter_rollouts import BIND, NEW, OLD, kept, kinds, what_it_is, why
from tests.fakes.site import BOOT, Program, Site, ready_site
from tests.harness.descriptors import assert_none_left_open, open_descriptors

FULL: dict[str, str] = {}
GRADUAL = {"max_surge": "1"}
IN_PLACE = {"max_surge": "0", "max_unavailable": "1"}
# How many serve at least, and run at most, of an arbiter of two workers.
BOUNDS = {id(FULL): (2, 4), id(GRADUAL): (2, 3), id(IN_PLACE): (1, 3)}


@dataclass
class Succeeded:
    """One whole rollout of strategy arbiter, and what was left of it in the end."""

    site: Site
    job: str
    end: str
    kept: set[int]  # the sockets in the listener's store
    listens_on: set[int]


def nothing_special(successor: Program) -> None:
    pass


def succeeded(
    values: dict[str, str],
    killed_at: int = -1,
    again_after: int = -1,
    successor: Callable[[Program], None] = nothing_special,
    traceable: bool = True,
    aborted: bool = False,
) -> Succeeded:
    """A whole rollout, in which the listener is killed at that point."""
    before = open_descriptors()
    site, _ = ready_site(2, [BIND])
    site.successor, site.table.untraceable = successor, not traceable
    site.killed_at, site.killed_again_after = killed_at, again_after
    job = site.ask("myapp", strategy="arbiter", **values)
    if aborted:
        site.pass_time(1)
        site.ask("myapp", kind=wire.ABORT)
    site.pass_time(500)
    found = Succeeded(
        site,
        job,
        kinds(site, job)[-1],
        {what_it_is(one.fd) for one in kept(site)},
        {what_it_is(fd) for fd in site.programs["myapp"].sockets.values()},
    )
    site.close()
    assert_none_left_open(before)
    return found


def succeeded_from_every_point(
    values: dict[str, str], **named: object
) -> tuple[Succeeded, list[Succeeded]]:
    """Such a rollout without a kill, and one for each of the points at which there may be one."""
    whole = succeeded(values, **named)
    return whole, [succeeded(values, killed_at, **named) for killed_at in range(whole.site.points)]


def assert_all_is_well(one: Succeeded, values: dict[str, str]) -> None:
    """What serves has served, who waited is let go, and nothing is left behind."""
    site, program = one.site, one.site.programs["myapp"]
    least, most = BOUNDS[id(values)]
    assert site.is_done(one.job)
    told = kinds(site, one.job)
    assert told.count(Began.kind) == (one.end != Refused.kind)
    assert [kind for kind in told if kind in ENDS] == [told[-1]]
    assert site.least_serving["myapp"] >= least
    assert site.most_staying["myapp"] <= most
    assert program.num_workers == len(program.serving) == 2
    assert all(answer.sent or answer.dropped for answer in site.answers)
    assert [(info.namespec, info.pid, info.state) for info in site.supervisord.infos] == [
        ("myapp", program.id.pid, "RUNNING")
    ]
    assert site.coordinator.next_deadline() is None
    assert one.kept == one.listens_on


@pytest.mark.parametrize("values", [FULL, GRADUAL, IN_PLACE])
def test_no_moment_at_which_the_listener_is_killed_fails_the_replacement_of_an_arbiter(
    values: dict[str, str],
) -> None:
    """Its successor asks again for its sockets, where it was owed them."""
    whole, killed = succeeded_from_every_point(values)
    assert [
        killed_at for killed_at, one in enumerate([whole, *killed]) if one.end != COMPLETE
    ] == []
    for one in [whole, *killed]:
        assert one.site.programs["myapp"].id.pid == NEW
        assert_all_is_well(one, values)


@pytest.mark.parametrize("values", [FULL, GRADUAL, IN_PLACE])
@pytest.mark.parametrize("again_after", [7, 10, 13, 20, 31])
def test_a_listener_that_is_killed_again_and_again_leaves_what_serves(
    values: dict[str, str], again_after: int
) -> None:
    one = succeeded(values, again_after, again_after)
    assert_all_is_well(one, values)
    assert one.end in (COMPLETE, FAILED)


@pytest.mark.parametrize("values", [FULL, GRADUAL])
def test_a_listener_that_cannot_have_its_sockets_back_fails_a_rollout_cleanly_at_worst(
    values: dict[str, str],
) -> None:
    _, killed = succeeded_from_every_point(values, traceable=False)
    for one in killed:
        assert one.end in (COMPLETE, FAILED, Refused.kind)
        one.kept = one.listens_on  # its workers hand them in, once they speak
        assert_all_is_well(one, values)


def broken(successor: Program) -> None:
    successor.is_broken = True


def never_ready(successor: Program) -> None:
    successor.boots = lambda age: (Booting, Loaded, Unready)


def second_is_never_ready(successor: Program) -> None:
    successor.boots = lambda age: BOOT if age == 1 else (Booting, Loaded)


@pytest.mark.parametrize(
    ("values", "successor"),
    [
        (FULL, broken),
        (FULL, never_ready),
        (GRADUAL, never_ready),
        (IN_PLACE, never_ready),
        (FULL, second_is_never_ready),
        (GRADUAL, second_is_never_ready),
        (IN_PLACE, second_is_never_ready),
    ],
)
def test_a_killed_listener_still_discards_a_bad_successor(
    values: dict[str, str], successor: Callable[[Program], None]
) -> None:
    whole, killed = succeeded_from_every_point(values, successor=successor)
    for one in [whole, *killed]:
        assert one.end == FAILED
        assert one.site.programs["myapp"].id.pid == OLD
        assert_all_is_well(one, values)


@pytest.mark.parametrize("values", [FULL, GRADUAL])
def test_a_killed_listener_still_aborts(values: dict[str, str]) -> None:
    whole, killed = succeeded_from_every_point({**values, "min_ready_secs": "10"}, aborted=True)
    for one in [whole, *killed]:
        assert one.end == ABORTED
        assert one.site.programs["myapp"].id.pid == OLD
        assert_all_is_well(one, values)


def test_a_successor_that_died_while_no_listener_watched_is_noticed(site: Site) -> None:
    job = site.ask("myapp", strategy="arbiter", min_ready_secs="10")
    site.table.watched.clear()
    site.programs["myapp:myapp.successor"].end("exit status 3")
    site.restart()
    site.pass_time(1)
    assert kinds(site, job)[-1] == FAILED
    assert why(site, job) == f"the successor (pid {NEW}) ended: exit status 3"


def test_a_successor_whose_end_supervisord_had_yet_to_explain_is_not_forgotten(site: Site) -> None:
    """That it is gone was saved, and then the listener was killed."""
    job = site.ask("myapp", strategy="arbiter", min_ready_secs="10")
    successor = site.programs["myapp:myapp.successor"]
    site.die(successor.id.pid)  # and supervisord has not reaped it
    site.settle()
    assert not site.is_done(job)
    site.restart()
    successor.end("exit status 3")
    site.pass_time(1)
    assert why(site, job) == f"the successor (pid {NEW}) ended: exit status 3"


def test_an_old_arbiter_that_died_while_no_listener_watched_takes_its_successor_along(
    site: Site,
) -> None:
    job = site.ask("myapp", strategy="arbiter", min_ready_secs="10")
    site.table.watched.clear()
    site.programs["myapp"].end("exit status 0")
    site.restart()
    site.pass_time(30)
    assert kinds(site, job)[-1] == FAILED
    assert site.signals == ["succeed myapp", "discard myapp"]
    assert [one.namespec for one in site.supervisord.infos] == ["myapp"]


def test_what_was_found_to_have_changed_is_known_to_the_next_listener(site: Site) -> None:
    site.supervisord.found = Reread([Change("myapp", {"environment": NEEDS_ARBITER})])
    program = site.programs["myapp"]
    program.boots = lambda age: (Booting, Loaded)
    program.exit(OLD + 1)
    site.settle()
    job = site.ask("myapp")  # which waits for the one that boots
    site.restart()
    site.supervisord.found = Reread()
    program.say(OLD + 3, Ready)
    site.settle()
    site.pass_time(1)
    assert site.facts(job, Began.kind)["reasons"] == ["its configuration has changed: environment"]
    assert kinds(site, job)[-1] == COMPLETE
