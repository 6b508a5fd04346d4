"""A real supervisord with real Gunicorns, real load on them, and an independent look at them.

``Site`` runs supervisord and its programs in a folder of its own, ``Load`` sends
requests at a steady rate and remembers what became of each, and ``Observer`` counts
ready workers from what the kernel shows, without asking any code of ours.
"""

from __future__ import annotations

from tests.harness.command import Command, Ran
from tests.harness.configuration import Inet, Program, free_port
from tests.harness.connections import connected, refuses
from tests.harness.load import Load, Request, Summary, steady
from tests.harness.observe import ArbitersTable, Observer, Sample, WorkerTable
from tests.harness.site import MakeSite, Site
from tests.harness.venvs import gunicorn_venv, supervisor_venv
from tests.harness.waiting import patience, wait_until

__all__ = [
    "ArbitersTable",
    "Command",
    "Inet",
    "Load",
    "MakeSite",
    "Observer",
    "Program",
    "Ran",
    "Request",
    "Sample",
    "Site",
    "Summary",
    "WorkerTable",
    "connected",
    "free_port",
    "gunicorn_venv",
    "patience",
    "refuses",
    "steady",
    "supervisor_venv",
    "wait_until",
]
