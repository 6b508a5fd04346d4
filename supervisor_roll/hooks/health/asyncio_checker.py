"""Health checks on the loop of a worker that runs asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from supervisor_roll.hooks.health.check import Check
from supervisor_roll.hooks.health.checker import StartupGate
from supervisor_roll.hooks.safely import safely


class AsyncioChecker:
    """Base of the checkers that run on an asyncio loop; subclasses make the request."""

    def __init__(self, worker: Any) -> None:
        self.status = self.failure = ""
        self.busy = False
        self.leaves = False  # it never serves: the worker is on its way out
        self._worker = worker
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    def _ask(self, check: Check) -> Awaitable[str]:
        raise NotImplementedError

    def start(self, check: Check, then: Callable[[], None]) -> None:
        if not self.busy:
            self.busy = True
            # Held on to, since a loop holds its tasks weakly.
            self._task = asyncio.get_running_loop().create_task(self._run(check, then))

    async def _run(self, check: Check, then: Callable[[], None]) -> None:
        try:
            self.status = await self._ask(check)
        finally:
            self.busy = False
        safely(then)

    def later(self, secs: float, call: Callable[[], None]) -> None:
        # Heartbeats of uvicorn's workers are half of ``timeout`` apart, 15 s by default.
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(secs, safely, call)

    async def hold(self, check: Check, gate: StartupGate) -> None:
        """Make the first checks, as long as ``gate`` says or until the worker is to leave."""
        while not (gate.leaving or self.leaves):
            self.status = await self._ask(check)
            wait = gate.judge(self.status)
            if wait is None:
                return
            await asyncio.sleep(wait)
