"""Stale code: application modules that the arbiter imported stay as they are in all its workers.

A configuration file that imports from the application does that. A rollout would then replace
the workers and not the code, so the listener refuses it, naming the modules.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from supervisor_roll.hooks.gunicorn_types import Worker

MOST = 12


def stale_modules(worker: Worker) -> list[str]:
    """Name the application's modules that were imported before this worker was forked.

    To be called before the worker loads anything. The application's are those of the package
    that it is loaded from, and what else lies below Gunicorn's ``chdir`` outside of an
    environment's packages. Empty files hold no code that could be stale.
    """
    uri = str(getattr(worker.app, "app_uri", None) or "")
    package = uri.partition(":")[0].partition(".")[0]
    homes = {Path(worker.cfg.chdir), Path(worker.cfg.chdir).resolve()}
    configuration = str(worker.cfg.config or "").removeprefix("python:")
    stale = []
    for name, module in list(sys.modules.items()):
        path = getattr(module, "__file__", None)
        root = name.partition(".")[0]
        if not isinstance(path, str) or name in (configuration, "__main__", "__config__"):
            continue
        if root in ("supervisor_roll", "gunicorn"):
            continue
        if (root == package or _below(Path(path), homes)) and _has_code(Path(path)):
            stale.append(name)
    return sorted(stale)[:MOST]


def _below(path: Path, homes: set[Path]) -> bool:
    installed = {"site-packages", "dist-packages"} & set(path.parts)
    # An environment may itself lie below the application's folder.
    return (
        not installed
        and not path.is_relative_to(Path(sys.base_prefix) / "lib")
        and any(path.is_relative_to(home) for home in homes)
    )


def _has_code(path: Path) -> bool:
    try:
        return path.stat().st_size > 0
    except OSError:
        return True
