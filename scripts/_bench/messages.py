"""What a message of a worker costs the listener and supervisord, by how many programs there are."""

from __future__ import annotations

import argparse
import itertools
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from supervisor_roll.listener.arbiters.arbiter import Arbiter
from supervisor_roll.listener.configuration.sections import Configuration
from supervisor_roll.listener.configuration.watched import WatchedConfiguration
from supervisor_roll.listener.edges.received import Datagram
from supervisor_roll.rollout.words import COMPLETE
from supervisor_roll.wire.datagram import encode
from supervisor_roll.wire.mailbox import Status
from supervisor_roll.wire.messages import Booting, Loaded, Message, Ready
from tests.fakes.program import PIDS
from tests.fakes.site import Site

#: Programs, workers of each.
SIZES = [(1, 2), (20, 2), (100, 2), (200, 2), (200, 16), (1, 64)]
GOAL, MOST_MS = (200, 16), 0.5
_KINDS = (Booting, Loaded, Ready)


def add_to(commands: Any) -> None:
    parser = commands.add_parser(
        "messages", help="CPU time of each message of a worker, and what is said to supervisord"
    )
    parser.add_argument("--messages", type=int, default=300, help="of each row (%(default)s)")
    parser.set_defaults(run=run)


@dataclass(frozen=True)
class Cost:
    """Of one message, as a median; ``first_ms`` is that of the whole, as a new listener says it."""

    cpu_ms: float
    chars: float


def run(options: argparse.Namespace) -> int:
    """Print the table; 1 if a message takes longer than is aimed at, in the largest site."""
    print(
        "CPU of the coordinator and the mailbox together, without what lies between (XML-RPC).\n"
        "All programs have been rolled; one of them is being rolled in the second pair.\n\n"
        f"{'programs x workers':>20}{'a message':>14}{'said':>10}{'in a rollout':>16}{'said':>10}"
    )
    costs: list[float] = []
    for programs, workers in SIZES:
        with tempfile.TemporaryDirectory() as folder:
            site = _Site(Path(folder), programs, workers)
            idle = site.cost(options.messages)
            site.ask("p0", min_ready_secs="600", max_surge="100%")
            rolled = site.cost(options.messages)
            site.close()
        if (programs, workers) == GOAL:
            costs = [idle.cpu_ms, rolled.cpu_ms]
        print(
            f"{programs:>14} x {workers:<3}{idle.cpu_ms:>11.2f} ms{idle.chars:>10.0f}"
            f"{rolled.cpu_ms:>13.2f} ms{rolled.chars:>10.0f}",
            flush=True,
        )
    return 1 if max(costs) > MOST_MS else 0


class _Unheard:
    """The way to a worker that does nothing about the answer: this is about who gives it."""

    def send(self, message: Message, fds: Sequence[int] = ()) -> None:
        pass


class _Site(Site):
    """Programs whose workers have all said that they are ready."""

    def __init__(self, folder: Path, programs: int, workers: int) -> None:
        main = folder / "supervisord.conf"
        main.write_text(f"[supervisord]\n[include]\nfiles = {folder}/conf.d/*.conf\n")
        (folder / "conf.d").mkdir()
        self._watched = WatchedConfiguration(str(main))
        super().__init__()
        exchange, self.said_chars = self.supervisord.exchange, 0

        def counted(text: str) -> str:
            self.said_chars += len(text)
            return exchange(text)

        self.supervisord.exchange = counted  # type: ignore[method-assign]
        for number in range(programs):
            name = f"p{number}"
            (folder / "conf.d" / f"{name}.conf").write_text(
                f"[program:{name}]\ncommand = gunicorn\n[roll:{name}]\nmax_surge = 2\n"
            )
            self.start(name, workers, pid=PIDS + 1000 * (number + 1))
        self.inbox.clear()
        self._know_all()
        self.coordinator.processes_changed()
        self.coordinator.pump()

    def _configuration(self) -> Configuration:
        return self._watched()

    def _know_all(self) -> None:
        registry, jobs = self.coordinator.registry, self.coordinator.jobs
        for name, program in self.programs.items():
            arbiter = Arbiter(program.id, name, len(program.workers), 0)
            registry.arbiters[program.id] = arbiter
            for pid in program.workers:
                worker = self.table.processes[pid].id
                arbiter.heard_worker(worker, Ready(**program.facts, age=1))
            jobs.statuses[name] = Status(COMPLETE, 1.0, "root", "0123456789ab", done=2, total=2)

    def cost(self, messages: int) -> Cost:
        """Hear so many of p0's workers, turn and turn about."""
        program = self.programs["p0"]
        workers = itertools.cycle(program.workers)
        times, sizes = [], []
        for _ in range(messages):
            pid, kind = next(workers), _KINDS[len(times) % len(_KINDS)]
            fields = {"age": 1, "boot_secs": 1, "surplus": False}
            message = kind(**program.facts, **fields)
            answer: Any = _Unheard()
            datagram = Datagram(self.table.processes[pid].id, encode(message), answer, [])
            self.said_chars, began = 0, time.process_time()
            self.coordinator.receive(datagram)
            self.coordinator.pump()
            times.append(time.process_time() - began)
            sizes.append(self.said_chars)
            self.inbox.clear()
        return Cost(statistics.median(times) * 1000, statistics.median(sizes))
