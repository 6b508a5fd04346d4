"""Workers and arbiters that are killed, or stand still, in the middle of a rollout."""

from __future__ import annotations

import time

from ground import WORKERS, Ground, fault, kill


@fault("outdated worker killed")
def outdated_killed(ground: Ground) -> None:
    ground.may_fail, ground.floor = 1, WORKERS - 1  # what it had in its hands
    with ground.rolling():
        kill(ground.outdated)


@fault("outdated worker stopped for 5 s")
def outdated_stopped(ground: Ground) -> None:
    with ground.rolling():
        ground.stopped([ground.outdated], 5)


@fault("fresh worker killed")
def fresh_killed(ground: Ground) -> None:
    with ground.rolling():
        kill(ground.fresh)
        time.sleep(1)


@fault("fresh worker stopped past its time")
def fresh_stopped(ground: Ground) -> None:
    with ground.rolling(good=False):
        ground.stopped([ground.fresh], 14)


@fault("arbiter killed")
def arbiter_killed(ground: Ground) -> None:
    ground.floor, ground.may_fail = 0, WORKERS  # supervisord starts it again
    with ground.rolling():
        kill(ground.arbiter)
        time.sleep(1)


@fault("arbiter stopped for 5 s")
def arbiter_stopped(ground: Ground) -> None:
    with ground.rolling():
        ground.stopped([ground.arbiter], 5)


@fault("successor killed", "arbiter")
def successor_killed(ground: Ground) -> None:
    with ground.rolling(good=False):
        kill(ground.successor())
        time.sleep(1)


@fault("successor stopped for 5 s", "arbiter")
def successor_stopped(ground: Ground) -> None:
    with ground.rolling():
        ground.stopped([ground.successor()], 5)


@fault("promoted successor killed", "arbiter")
def promoted_killed(ground: Ground) -> None:
    ground.floor, ground.may_fail = 0, WORKERS
    ground.release()
    command = ground.site.ctl_start("rollrestart", "web")
    command.wait_says("took over")
    kill(ground.arbiter)
    ground.ended(command)
