"""What operators do in the middle of a rollout."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import replace

from ground import WORKERS, Ground, fault


@fault("supervisorctl restart")
def restart(ground: Ground) -> None:
    ground.may_fail, ground.floor = None, 0
    with ground.rolling():
        ground.site.open_gate(f"v{ground.releases}")
        ground.site.ctl("restart", "web")


@fault("supervisorctl stop, then start")
def stop(ground: Ground) -> None:
    ground.may_fail, ground.floor = None, 0
    with ground.rolling():
        ground.site.ctl("stop", "web")
        ground.site.open_gate(f"v{ground.releases}")
        ground.site.ctl("start", "web")


@fault("supervisorctl update")
def update(ground: Ground) -> None:
    ground.may_fail, ground.floor = None, 0
    with ground.rolling():
        ground.site.write(replace(ground.program, environment={"COLOUR": "green"}))
        ground.site.open_gate(f"v{ground.releases}")
        ground.site.ctl("update", "web")
        if ground.site.state("web") == "STOPPED":  # it has autostart=false here
            ground.site.ctl("start", "web")


@fault("HUP")
def hup(ground: Ground) -> None:
    ground.floor = 0  # Gunicorn itself retires all workers at once, and requests wait for a boot
    with ground.rolling():
        os.kill(ground.arbiter, signal.SIGHUP)
        time.sleep(1)


@fault("TTIN")
def ttin(ground: Ground) -> None:
    with ground.rolling():
        os.kill(ground.arbiter, signal.SIGTTIN)
        time.sleep(1)
    _as_wanted(ground)


@fault("TTOU")
def ttou(ground: Ground) -> None:
    ground.floor = WORKERS - 1
    with ground.rolling():
        os.kill(ground.arbiter, signal.SIGTTOU)
        time.sleep(1)
    _as_wanted(ground)


@fault("rollabort, rollpause and rollresume")
def control(ground: Ground) -> None:
    with ground.rolling():
        commands = [ground.site.ctl_start(one, "web") for one in ("rollpause", "rollresume") * 5]
        commands.append(ground.site.ctl_start("rollabort", "web"))
        for command in commands:
            command.wait(30)


def _as_wanted(ground: Ground) -> None:
    """One more or less is what was asked for; but no more than one."""
    time.sleep(2)
    ground.count = len(ground.site.all_workers("web").children)
    ground.expect(abs(ground.count - WORKERS) <= 1, f"{ground.count} workers after one signal")
