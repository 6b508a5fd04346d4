"""What rollstatus is told of a program: its workers as they are now."""

from __future__ import annotations

from supervisor_roll.listener.arbiters.arbiter import Arbiter, Worker
from supervisor_roll.listener.rollouts.status import overview
from supervisor_roll.rollout.events import InstanceId
from supervisor_roll.rollout.words import COMPLETE
from supervisor_roll.wire.mailbox import Status


def test_workers_are_told_by_their_pid_whichever_was_heard_first() -> None:
    heard = [Worker(InstanceId(pid, 1), age) for pid, age in ((9743, 4), (9742, 3), (9741, 2))]
    arbiter = Arbiter(InstanceId(9000, 1), "myapp", workers={one.id: one for one in heard})
    verdict = Status(COMPLETE, 1.0, job="j1", outdated=[9741, 9740])
    shown = overview({"myapp": verdict}, {}, [arbiter], {}, {}, 2.0)["myapp"]
    assert (shown.fresh, shown.outdated) == ([9742, 9743], [9741])
