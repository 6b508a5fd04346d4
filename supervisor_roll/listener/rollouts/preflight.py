"""The preflight: the release is loaded once, beside the program, before it is touched."""

from __future__ import annotations

from collections.abc import Callable

from supervisor_roll.listener.arbiters.arbiter import Arbiter
from supervisor_roll.listener.edges.process_table import ProcessTable
from supervisor_roll.listener.side_processes.process import NotPossible, objection
from supervisor_roll.listener.side_processes.side_processes import SideProcesses
from supervisor_roll.rollout.settings import Settings
from supervisor_roll.wire.program import Program


class Preflights:
    """Starts them. Their ends come from the side processes."""

    def __init__(
        self, sides: SideProcesses, program: Callable[..., Program], table: ProcessTable
    ) -> None:
        self._sides, self._program, self._table = sides, program, table

    def start(
        self, namespec: str, settings: Settings, arbiter: Arbiter, changed: bool = False
    ) -> None:
        """Raises NotPossible. ``changed``: by the configuration that was last reread."""
        program = self._program(namespec, changed)
        running = self._table.executed(arbiter.id.pid).arguments
        why_not = objection(program.command, running)
        worker = next(iter(arbiter.workers.values()), None)
        if why_not or worker is None:
            raise NotPossible(why_not or "it has no worker, as whose user to load the application")
        self._sides.preflight(
            namespec,
            program,
            worker.id.pid,
            worker.uid,
            arbiter.facts.get("PYTHONPATH", ""),
            settings.ready_timeout_secs,
        )
