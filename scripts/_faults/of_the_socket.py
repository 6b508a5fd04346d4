"""The readiness socket's path is lost, and the listener hears nothing."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

from ground import WORKERS, Ground, fault, kill


def _directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _symlink(path: Path) -> None:
    path.unlink()
    path.symlink_to("/dev/null")


def _fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


_WAYS: dict[str, Callable[[Path], None]] = {
    "deleted": Path.unlink,
    "a directory": _directory,
    "a symlink": _symlink,
    "a FIFO": _fifo,
}


def _enter(way: str, lose: Callable[[Path], None]) -> None:
    @fault(f"socket's path {way}, before")
    def before(ground: Ground) -> None:
        lose(ground.socket())
        ground.release()
        ground.roll()

    @fault(f"socket's path {way}, in the middle")
    def middle(ground: Ground) -> None:
        with ground.rolling():
            lose(ground.socket())


for _way, _lose in _WAYS.items():
    _enter(_way, _lose)


@fault("count told to no listener", "workers")
def lost_count(ground: Ground) -> None:
    ground.floor = ground.count = WORKERS - 1  # as the operator has it
    arbiter = ground.arbiter
    kill(ground.listener)
    os.kill(arbiter, signal.SIGTTOU)
    ground.site.wait_listener(other_than=0)


@fault("listener stopped for 45 s", "workers")
def listener_stopped(ground: Ground) -> None:
    with ground.rolling(good=True):
        ground.site.open_gate(f"v{ground.releases}")
        ground.stopped([ground.listener], 45)


@fault("listener killed while one boots")
def killed_at_boot(ground: Ground) -> None:
    with ground.rolling(good=True):
        kill(ground.listener)


@fault("listener killed six times")
def killed_often(ground: Ground) -> None:
    ground.release()
    command = ground.site.ctl_start("rollrestart", "web")
    for _ in range(6):
        listener = ground.site.wait_listener()
        kill(listener)
        ground.site.wait_listener(other_than=listener)
    ground.ended(command, good=True)


@fault("listener killed at the promotion", "arbiter")
def killed_at_promotion(ground: Ground) -> None:
    ground.release()
    command = ground.site.ctl_start("rollrestart", "web")
    command.wait_says("took over")
    kill(ground.listener)
    ground.ended(command, good=True)
