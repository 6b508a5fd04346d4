"""Whoever writes to the readiness sockets, and whatever becomes of their path: rollouts go on."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.harness import MakeSite, Program, Site, wait_until
from tests.harness.venvs import CHECKOUT

HOSTILE = CHECKOUT / "tests" / "harness" / "hostile.py"


@contextmanager
def neighbour(site: Site, what: str, uid: int | None = None) -> Iterator[str]:
    """What it says first; it ends with the block."""
    user = os.getuid() if uid is None else uid
    text = HOSTILE.read_text()
    with subprocess.Popen(
        [sys.executable, "-c", text, what, str(directory(site)), str(user)],
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process.stdout.readline().strip()
        finally:
            process.kill()


def directory(site: Site) -> Path:
    return site.folder / "run" / "supervisor_roll.sock"


def log_size(site: Site) -> int:
    return sum(one.stat().st_size for one in (site.folder / "logs").glob("roll*"))


@pytest.fixture
def site(make_site: MakeSite) -> Site:
    return make_site(Program(workers=2))


def test_who_runs_no_program_cannot_write_and_whoever_can_stops_nothing(site: Site) -> None:
    listener = site.listener_pid
    if os.getuid() == 0:
        with neighbour(site, "garbage", 65534) as said:
            assert said == "PermissionError"
    before = log_size(site)
    with site.unharmed(replaced=2):
        # A little more than what it has open: some of what is sent to it cannot be taken.
        opened = len(list(Path(f"/proc/{listener}/fd").iterdir()))
        limits = resource.prlimit(listener, resource.RLIMIT_NOFILE)
        resource.prlimit(listener, resource.RLIMIT_NOFILE, (opened + 30, limits[1]))
        with neighbour(site, "lingers") as said:
            assert said == "started"
            site.roll("web")
        with neighbour(site, "garbage") as garbage, neighbour(site, "descriptors") as descriptors:
            assert garbage == descriptors == "started"
            site.roll("web")
    assert site.listener_pid == listener
    assert log_size(site) < before + 100_000


def _removed(path: Path) -> None:
    shutil.rmtree(path)


def _a_link(path: Path) -> None:
    path.rename(path.with_name("moved"))
    path.symlink_to("moved")


def _a_fifo(path: Path) -> None:
    shutil.rmtree(path)
    os.mkfifo(path)


def test_a_path_that_is_lost_in_a_rollout_is_bound_anew(site: Site) -> None:
    site.deploy("v2", boot_secs=1.0)
    with site.unharmed(replaced=2):
        for lose in (_removed, _a_link, _a_fifo):
            roll = site.ctl_start("rollrestart", "web")
            site.wait_booting("web", 1)
            lose(directory(site))
            roll.ends()


def test_while_it_cannot_be_bound_rollstatus_says_why(site: Site) -> None:
    directory(site).chmod(0o777)
    why = f"may be written by others (mode 0777): chmod 755 {directory(site)}"
    wait_until(lambda: why in site.ctl("rollstatus").output, 30, "rollstatus says why")
    directory(site).chmod(0o755)
    wait_until(lambda: why not in site.ctl("rollstatus").output, 30, "it is well again")
    site.roll("web")
