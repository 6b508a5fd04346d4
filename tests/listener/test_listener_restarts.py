"""A listener may be killed at any moment: the next one carries on, and what serves serves on."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from supervisor_roll.listener.edges.supervisord import Unreachable
from supervisor_roll.rollout.reports import ENDS, Began
from supervisor_roll.rollout.words import COMPLETE, FAILED
from supervisor_roll.wire.messages import Booting, Loaded
from tests.fakes.site import BOOT, PIDS, Program, Site, ready_site, save, saved

Rolled = tuple[Site, Program, str]


def rolled(
    killed_at: int, values: dict[str, str] | None = None, boots: Iterable[str | None] = BOOT
) -> Rolled:
    """A whole rollout of two workers, in which the listener is killed at that point. A new one
    takes over."""
    site, program = ready_site(2)
    program.boots = lambda age: boots
    site.killed_at = killed_at
    job = site.ask("myapp", **(values or {}))
    site.pass_time(300)
    return site, program, job


def rolled_from_every_point(**named: object) -> dict[int, Rolled]:
    """Such a rollout for each of the points at which its listener can be killed."""
    site, _, job = rolled(-1, **named)
    assert site.is_done(job)
    return {killed_at: rolled(killed_at, **named) for killed_at in range(site.points)}


@pytest.fixture(scope="module")
def every_rollout() -> dict[int, Rolled]:
    return rolled_from_every_point()


def test_a_listener_killed_at_any_moment_leaves_what_serves_and_lets_go_who_waits(
    every_rollout: dict[int, Rolled],
) -> None:
    for killed_at, (site, program, job) in every_rollout.items():
        assert site.is_done(job), killed_at
        kinds = [kind for _, kind in site.reports(job)]
        assert kinds.count(Began.kind) == 1, killed_at
        assert sum(kind in ENDS for kind in kinds) == 1, killed_at
        assert kinds[-1] in ENDS, killed_at
        assert site.least_serving["myapp"] == 2, killed_at
        assert site.most_staying["myapp"] <= 3, killed_at
        assert program.num_workers == len(program.serving) == 2, killed_at
        assert all(one.sent or one.dropped for one in site.answers), killed_at


def test_a_listener_killed_right_after_a_signal_sends_the_same_further_ones(
    every_rollout: dict[int, Rolled],
) -> None:
    whole, _, job = rolled(-1)
    for number, what in enumerate(whole.log):
        if what.startswith("TT"):
            again, _, other = every_rollout[2 * number + 1]
            assert again.signals == whole.signals
            assert again.reports(other) == whole.reports(job)


def test_a_listener_killed_right_before_a_signal_makes_up_for_it(
    every_rollout: dict[int, Rolled],
) -> None:
    """An addition is asked for later; who was to be retired is asked itself, by TERM."""
    whole, _, job = rolled(-1)
    for number, what in enumerate(whole.log):
        if what.startswith("TT"):
            again, program, other = every_rollout[2 * number]
            assert again.reports(other) == whole.reports(job)
            assert min(program.serving) > 2
            if what.startswith("TTIN"):
                assert again.signals == whole.signals
            else:
                assert sum(one.startswith("SIGTERM") for one in again.signals) == 1


def test_no_moment_at_which_the_listener_is_killed_fails_a_good_rollout(
    every_rollout: dict[int, Rolled],
) -> None:
    """Not even the one in which the arbiter tells a dying listener its new count."""
    failed = [
        killed_at
        for killed_at, (site, _, job) in every_rollout.items()
        if site.reports(job)[-1][1] != COMPLETE
    ]
    assert failed == []


def test_in_place_a_killed_listener_goes_on_too() -> None:
    values = {"max_surge": "0", "max_unavailable": "1"}
    for killed_at, (site, program, job) in rolled_from_every_point(values=values).items():
        assert site.is_done(job), killed_at
        assert site.reports(job)[-1] == ("myapp", COMPLETE), killed_at
        assert site.least_serving["myapp"] >= 1, killed_at
        assert program.num_workers == len(program.serving) == 2, killed_at
        assert min(program.serving) > 2, killed_at


def test_a_killed_listener_still_undoes_a_bad_release() -> None:
    boots = (Booting, Loaded, None)
    for killed_at, (site, program, job) in rolled_from_every_point(boots=boots).items():
        assert site.is_done(job), killed_at
        assert site.reports(job)[-1] == ("myapp", FAILED), killed_at
        assert program.serving == [1, 2], killed_at
        assert program.num_workers == 2, killed_at


def test_a_worker_that_died_while_no_listener_watched_is_noticed() -> None:
    site, program = ready_site(2)
    job = site.ask("myapp", min_ready_secs="10")
    site.table.watched.clear()
    program.exit(PIDS + 13)  # the fresh one, and it is surplus
    site.inbox.clear()  # what was said then was lost
    site.restart()
    site.pass_time(30)
    assert site.reports(job)[-1] == ("myapp", FAILED)
    assert program.serving == [1, 2]


def test_an_arbiter_that_died_while_no_listener_watched_is_noticed() -> None:
    site, program = ready_site(2)
    job = site.ask("myapp", min_ready_secs="10")
    site.table.watched.clear()
    program.halt()
    site.restart()
    site.settle()
    assert site.reports(job)[-1] == ("myapp", FAILED)
    assert site.is_done(job)


def test_a_rollout_asked_for_after_a_restart_needs_nobody_to_speak_again() -> None:
    site, program = ready_site(2)
    site.restart()
    job = site.ask("myapp")
    assert site.is_done(job)
    assert program.serving == [3, 4]


def test_statuses_survive_a_restart() -> None:
    site, _ = ready_site(1)
    site.ask("myapp")
    before = site.supervisord.mailbox.statuses["myapp"]
    site.restart()
    site.settle()
    assert site.supervisord.mailbox.statuses["myapp"] == before


def test_a_job_that_the_saved_state_does_not_tell_of_is_ended() -> None:
    site, _ = ready_site(2)
    job = site.ask("myapp", min_ready_secs="10")
    site.supervisord.mailbox.state.clear()
    site.restart()
    site.settle()
    assert site.is_done(job)


def test_what_another_version_saved_and_cannot_be_used_costs_only_that() -> None:
    site, _ = ready_site(2)
    state = saved(site)
    state |= {"arbiter 1.2": {"odd": 1}, "run": {"job": "3"}, "verdict": {"mood": "fine"}}
    save(site, state)
    save(site, {"run": {}, "verdict": []}, "other")
    site.restart()
    job = site.ask("myapp")
    assert site.reports(job)[-1] == ("myapp", COMPLETE)


def test_a_listener_cannot_start_while_supervisord_does_not_answer() -> None:
    site, _ = ready_site(1)
    site.supervisord.unreachable = True
    with pytest.raises(Unreachable):
        site.restart()
