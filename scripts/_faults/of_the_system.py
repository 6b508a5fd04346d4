"""What the machine does: no process to be had, no room for logs, clocks that jump."""

from __future__ import annotations

import re
import subprocess
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

from ground import Ground, NotHere, fault, kill

from tests.harness import processes, wait_until

_PIDS = (Path("/sys/fs/cgroup/pids"), Path("/sys/fs/cgroup"))


@fault("fork fails")
def fork_fails(ground: Ground) -> None:
    """The program is in a cgroup of processes that is full."""
    group = _full_group(ground)
    for pid in [ground.arbiter, *ground.site.workers("web").children]:
        (group / "cgroup.procs").write_text(str(pid))
    limit = int((group / "pids.current").read_text())
    (group / "pids.max").write_text(str(limit))
    ground.release()
    command = ground.site.ctl_start("rollrestart", "web")
    ground.ended(command)
    (group / "pids.max").write_text("max")


def _full_group(ground: Ground) -> Path:
    for root in _PIDS:
        group = root / f"roll-faults-{ground.arbiter}"
        try:
            group.mkdir()
        except OSError:
            continue
        if (group / "pids.max").exists():
            ground.undo(partial(_remove, group))
            return group
        group.rmdir()
    raise NotHere("no cgroup of processes can be made here")


def _remove(group: Path) -> None:
    (group / "pids.max").write_text("max")
    for pid in (group / "cgroup.procs").read_text().split():
        kill(int(pid))
    wait_until(lambda: not (group / "cgroup.procs").read_text(), 10, "the cgroup is empty")
    group.rmdir()


@fault("no room for logs")
def full_disk(ground: Ground) -> None:
    logs = ground.site.folder / "small"
    logs.mkdir()
    _mount(ground, logs, "-t", "tmpfs", "-o", "size=64k", "none")
    section = {**ground.program.section, "stdout_logfile": f"{logs}/web.log"}
    ground.site.write(replace(ground.program, section=section))
    ran = ground.site.ctl("rollrestart", "--strategy=arbiter", "web")
    ground.expect(ran.status == 0 and (logs / "web.log").exists(), ran.output)
    with suppress(OSError), (logs / "filler").open("wb", buffering=0) as filler:
        while True:
            filler.write(b"x" * 4096)
    with ground.rolling(good=True):
        pass


@fault("wall clock steps by a second")
def clock_steps(ground: Ground) -> None:
    """The listener alone has a /proc/stat of its own, whose btime changes as by a step."""
    fake, text = ground.site.folder / "stat", Path("/proc/stat").read_text()
    fake.write_text(text)
    listener = ground.listener
    inside = f'mount --bind {fake} /proc/stat && exec "$SUPERVISOR_ROLL_PYTHON" -m '
    command = f"unshare --mount /bin/sh -c '{inside}supervisor_roll.listener'"
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode:
        raise NotHere("no mount namespace can be made here")
    conf = ground.site.folder / "conf.d" / "roll.conf"
    conf.write_text(
        re.sub("(?m)^command = .*$", lambda _: f"command = {command}", conf.read_text())
    )
    ground.site.ctl("update", "roll")
    ground.site.wait_listener(other_than=listener)
    own = Path(f"/proc/{ground.listener}/root/proc/stat")
    ground.expect(
        own.stat().st_ino == fake.stat().st_ino, "the listener has no /proc/stat of its own"
    )
    with ground.rolling(good=True):
        fake.write_text(re.sub(r"btime (\d+)", lambda m: f"btime {int(m[1]) + 1}", text))


@fault("all stand still for 12 s")
def clock_gap(ground: Ground) -> None:
    """As when a machine is suspended: nobody runs, and time goes on."""
    with ground.rolling():
        pids = [one.pid for one in processes.stamped(str(ground.site.folder))]
        ground.stopped(pids, 12)


def _mount(ground: Ground, where: Path, *options: str) -> None:
    try:
        subprocess.run(["mount", *options, where], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        raise NotHere("nothing can be mounted here") from None
    ground.undo(lambda: subprocess.run(["umount", "--lazy", where], check=False))
