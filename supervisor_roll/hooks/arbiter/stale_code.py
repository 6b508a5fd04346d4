"""Stale code: application modules that the arbiter imported stay as they are in all its workers.

A configuration file that imports from the application does that. A rollout would then replace
the workers and not the code, so the listener refuses it, naming the modules.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from supervisor_roll.hooks.gunicorn_types import Arbiter

MOST = 12
# Its script, also under the name that multiprocessing gives it, and the configuration file.
_OF_GUNICORN = ("__main__", "__mp_main__", "__config__")


def stale_modules(server: Arbiter) -> list[str]:
    """Name the application's modules that were imported before a worker is forked.

    The application's are those of the package that it is loaded from, and what else lies below
    Gunicorn's ``chdir`` outside of an environment's packages. Empty files hold no code that
    could be stale.
    """
    uri = str(getattr(server.app, "app_uri", None) or "")
    package = uri.partition(":")[0].partition(".")[0]
    chdir = str(server.cfg.chdir)
    homes = _folders(chdir, os.path.realpath(chdir))
    library = _folders(os.path.join(sys.base_prefix, "lib"))  # noqa: PTH118 - pathlib is slow
    configuration = str(server.cfg.config or "").removeprefix("python:")
    stale = []
    for name, module in list(sys.modules.items()):
        path = getattr(module, "__file__", None)
        if not isinstance(path, str) or name in (configuration, *_OF_GUNICORN):
            continue
        root = name.partition(".")[0]
        if root in ("supervisor_roll", "gunicorn"):
            continue
        # An environment may itself lie below the application's folder.
        below = path.startswith(homes) and not (
            path.startswith(library) or "/site-packages/" in path or "/dist-packages/" in path
        )
        if (root == package or below) and _has_code(path):
            stale.append(name)
    return sorted(stale)[:MOST]


def _folders(*paths: str) -> tuple[str, ...]:
    return tuple(f"{path.rstrip('/')}/" for path in paths)


def _has_code(path: str) -> bool:
    try:
        return os.stat(path).st_size > 0  # noqa: PTH116
    except OSError:
        return True
