"""A successor that is configured with another number of workers has that many when it is promoted;
one that hangs in its boot does not hold up the end of a rollout that has turned."""

from __future__ import annotations

import pytest

from supervisor_roll.rollout import events as ev
from supervisor_roll.rollout.errors import IllegalEvent
from supervisor_roll.rollout.events import Action
from supervisor_roll.rollout.reports import Arrived
from supervisor_roll.rollout.timing import BIRTH_SECS, STOP_GRACE_SECS
from supervisor_roll.rollout.words import COMPLETE, FAILED
from tests.rollout.pair_model import Pair, _id


class _Configured(Pair):
    """The successor says with how many workers it is configured before it has any."""

    configured = 0

    def _act(self, action: Action) -> None:
        if isinstance(action, ev.StartSuccessor):
            self.rollout.handle(ev.Configured(self.configured), self.now)
        super()._act(action)


def configured(count: int, workers: int = 2, **options: object) -> _Configured:
    pair = _Configured(workers, **options)
    pair.configured = count
    return pair


@pytest.mark.parametrize(("count", "forked"), [(4, 4), (1, 1), (0, 1), (2, 2)])
def test_with_two_full_sets_it_starts_with_its_own_number(count: int, forked: int) -> None:
    pair = configured(count)
    assert pair.begin() == ["start"]
    assert len(pair.new) == forked
    assert pair.all_ready() == ["promote"]
    pair.end(successor=False)
    assert pair.rollout.state == COMPLETE
    assert (pair.rollout.desired, pair.rollout.count) == (forked, forked)
    arrived = [tell for tell in pair.tells if isinstance(tell, Arrived)]
    assert [(one.done, one.total) for one in arrived] == [(at + 1, forked) for at in range(forked)]


def test_step_by_step_it_grows_to_its_own_number() -> None:
    pair = configured(4, full=False, max_surge="2")
    assert pair.begin() == ["start"]
    assert len(pair.new) == 4, "two more than the four that are to run"
    assert pair.all_ready() == ["promote"]
    assert pair.rollout.min_ready == 2


def test_step_by_step_fewer_need_no_more_steps() -> None:
    pair = configured(2, workers=4, full=False, max_surge="1")
    assert pair.begin() == ["start"]
    assert pair.all_ready() == ["shrink", "grow", "promote"]
    assert len(pair.old) == 3


def test_what_it_is_configured_with_is_heard_once_and_before_the_promotion() -> None:
    pair = configured(3, full=False, max_surge="3")
    pair.begin()
    assert pair.tell(ev.Configured(3)) == []
    with pytest.raises(IllegalEvent):
        pair.rollout.handle(ev.Configured(-1), pair.now)
    pair.all_ready()
    assert pair.tell(ev.Configured(9)) == []
    assert pair.rollout.desired == 3


def test_one_that_hangs_in_its_boot_is_killed_once_its_arbiter_is_to_end() -> None:
    pair = Pair.begun(2, ready_timeout_secs="10", ready=[201])
    pair.obey = False
    assert pair.wait(10) == ["discard"]
    assert pair.wait(STOP_GRACE_SECS - 0.1) == []
    assert pair.wait(0.2) == ["KILL 202"], "and not the one that serves"
    pair.end(successor=True)
    assert pair.rollout.state == FAILED


class _LateWord(Pair):
    """Nobody hears of worker 204 until it is told."""

    def _fork(self, successor: bool) -> None:
        super()._fork(successor)
        if successor and self._next[True] == 205:
            self.queue.pop()


def test_one_that_was_added_as_it_turned_does_not_cost_the_others_that_serve() -> None:
    pair = _LateWord(4, full=False, max_surge="0", max_unavailable="1")
    assert pair.begin() == ["shrink", "start"]
    pair.ready(201)
    pair.ready(202)
    assert (len(pair.old), sorted(pair.new)) == (1, [201, 202, 203, 204])
    pair.obey, pair.now = False, 1.0
    assert pair.tell(ev.BootFailed(_id(203), "ImportError")) == ["TERM 203"]
    pair.now = 2.0
    # Not "discard": two of its workers serve, and only one of the old ones.
    assert pair.tell(ev.Started(_id(204), 4, surplus=True)) == ["TERM 204"]
    pair.obey = True
    did = pair.die(203) + pair.die(204)
    did += pair.wait(BIRTH_SECS) + pair.all_ready()
    assert did.count("discard") == 1
    assert did[-1] == "discard"
    assert len(pair.old) == 4
    assert (pair.rollout.state, pair.rollout.min_ready) == (FAILED, 3)


def test_what_it_says_after_its_start_was_seen_counts_too() -> None:
    pair = Pair.begun(2)
    pair.tell(ev.Configured(3))
    assert (pair.rollout.goal, pair.rollout.successor_count) == (3, 3)
