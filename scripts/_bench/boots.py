"""What the hooks cost a worker's boot, and what memory they take: beside a bare Gunicorn."""

from __future__ import annotations

import os
import signal
import statistics
import time
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from tests.harness import wait_until
from tests.hooks.fake_listener import HOOKS, Gunicorn, Site

VERSION = "27.0.1"
CLASSES = ("sync", "gthread", "uvicorn_worker.UvicornWorker")
#: Of this class also where the listener wants to be asked first: for a health check, say.
ASKING = "sync"
#: A worker that was killed is replaced, and its replacement has booted, after that long.
SETTLE_SECS = 0.6
ASGI = """
async def application(scope, receive, send):
    assert scope["type"] != "lifespan"
"""


@dataclass
class Boots:
    """The boots of one arbiter's workers: CPU time in ms, and page faults of the worker."""

    gunicorn: Gunicorn
    worker_ms: list[float] = field(default_factory=list)
    arbiter_ms: list[float] = field(default_factory=list)
    faults: list[int] = field(default_factory=list)

    def worker(self) -> int:
        """The only worker's pid, once it is there."""
        return wait_until(lambda: _children(self.gunicorn.pid), 30, "a worker")[0]

    def boot(self) -> None:
        """Kill the worker and measure the next one."""
        before, old = _cpu_ms(self.gunicorn.pid), self.worker()
        os.kill(old, signal.SIGKILL)
        wait_until(lambda: _children(self.gunicorn.pid) not in ([], [old]), 30, "its replacement")
        time.sleep(SETTLE_SECS)
        new = self.worker()
        self.worker_ms.append(_cpu_ms(new))
        self.arbiter_ms.append(_cpu_ms(self.gunicorn.pid) - before)
        self.faults.append(int(Path(f"/proc/{new}/stat").read_text().rpartition(")")[2].split()[7]))

    def figures(self) -> list[float]:
        medians = map(statistics.median, (self.worker_ms, self.arbiter_ms, self.faults))
        return [*medians, _uss_mib(self.gunicorn.pid), _uss_mib(self.worker())]


def print_table(count: int) -> None:
    """Boot ``count`` workers of each class, without the hooks and with them in turn."""
    print(
        f"{count} boots each, without hooks -> with them; memory that no other process has (USS); "
        f"load average {os.getloadavg()[0]:.1f}\n\n"
        f"  {'':28}{'CPU ms of':^34}{'page faults':^16}{'USS in MiB of':^34}\n"
        f"  {'worker class':28}{'worker':^17}{'arbiter':^17}{'of worker':^16}"
        f"{'arbiter':^17}{'worker':^17}"
    )
    for worker_class, alone in [*((one, True) for one in CLASSES), (ASKING, False)]:
        cells = [
            f"{f'{bare:.{digits}f} -> {hooked:.{digits}f}':^{width}}"
            for bare, hooked, digits, width in zip(
                *figures(worker_class, count, alone),
                (2, 2, 0, 2, 2),
                (17, 17, 16, 17, 17),
                strict=True,
            )
        ]
        name = worker_class if alone else f"{worker_class}, asks first"
        print(f"  {name:28}{''.join(cells)}", flush=True)


def figures(worker_class: str, count: int, alone: bool) -> tuple[list[float], list[float]]:
    """What ``Boots.figures`` gives without the hooks, and with them."""
    with closing(Site()) as site:
        site.listener.more = lambda pid, message: {"ready_alone": alone}
        if "uvicorn" in worker_class:
            (site.folder / "app.py").write_text(ASGI)
        both = []
        for name, hooks in (("bare", ""), ("hooked", HOOKS)):
            conf = f"bind = 'unix:{site.folder}/{name}'\nworker_class = {worker_class!r}\n"
            # Its thread has nothing to do with a boot.
            conf += f"control_socket_disable = True\n{hooks}"
            both.append(Boots(site.start(VERSION, conf, name=name)))
        for boots in both:
            boots.worker()
        time.sleep(SETTLE_SECS)
        for _ in range(count):
            for boots in both:
                boots.boot()
        bare, hooked = both
        return bare.figures(), hooked.figures()


def _children(pid: int) -> list[int]:
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _cpu_ms(pid: int) -> float:
    """CPU time of all threads; to the nanosecond, unlike what /proc/PID/stat has."""
    tasks = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(one.read_text().split()[0]) for one in tasks) / 1e6


def _uss_mib(pid: int) -> float:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(one.split()[1]) for one in lines if one.startswith("Private")) / 1024
