"""What is deployed, and under which load."""

from __future__ import annotations

import os
from dataclasses import dataclass

WORKERS = 4
#: Each request holds a worker for so long: that makes the capacity a known number.
HOLD_SECS = 0.05
CAPACITY = WORKERS / HOLD_SECS
#: How many clients there are where connections are kept.
CLIENTS = 16


@dataclass(frozen=True)
class Scenario:
    """One release to deploy, and its clients.

    ``load`` is a part of the capacity. A worker sleeps while it boots, or burns a processor
    ("cpu"), or fails in the end ("raise"). A release that is no good is watched for
    ``watch_secs`` from the deployment on; any other until it serves alone.
    """

    name: str
    load: float = 0.6
    boot: str = "sleep"
    boot_secs: float = 1.0
    status: int = 200
    patience_secs: float = 5.0
    kept: bool = False
    watch_secs: float | None = None

    @property
    def rate(self) -> float:
        """Requests a second."""
        return self.load * CAPACITY

    @property
    def said(self) -> str:
        """What the tables' readers need to know of it."""
        facts = [
            f"{self.rate:g} requests a second",
            "a boot fails" if self.boot == "raise" else f"a boot takes {self.boot_secs:g} s",
        ]
        if self.boot == "cpu":
            facts[-1] += " of a processor"
        if self.status != 200:
            facts.append(f"then all answers are {self.status}")
        if self.kept:
            facts.append(f"on {CLIENTS} connections that are kept")
        if self.patience_secs < self.boot_secs:
            facts.append(f"clients wait for {self.patience_secs:g} s")
        return f"{', '.join(facts)}."

    @property
    def ideal_secs(self) -> float:
        """How long it takes this machine to boot all workers at once."""
        cores = os.cpu_count() or 1
        return self.boot_secs * (max(1.0, WORKERS / cores) if self.boot == "cpu" else 1.0)

    @property
    def limit_secs(self) -> float:
        """How long a deployment may take at the very most."""
        return self.watch_secs or 10 + 3 * WORKERS * self.ideal_secs


SCENARIOS = (
    Scenario("healthy, 25 % load", load=0.25),
    Scenario("healthy, 60 % load"),
    Scenario("healthy, 80 % load", load=0.8),
    Scenario("boot longer than patience", boot_secs=2.5, patience_secs=1.5),
    Scenario("CPU-bound boot", boot="cpu"),
    Scenario("broken release", boot="raise", boot_secs=0.3, watch_secs=8.0),
    Scenario("sick release", boot_secs=0.5, status=500, watch_secs=8.0),
    Scenario("kept connections", load=0.25, kept=True),
)
