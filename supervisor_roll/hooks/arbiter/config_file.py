"""Which configuration file an arbiter has read, and what was in it then."""

from __future__ import annotations

import hashlib
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from supervisor_roll.hooks.gunicorn_types import Arbiter


@dataclass(frozen=True)
class Configured:
    """``path`` is as it was named, made absolute; ``digest`` is of its bytes. Or both are empty."""

    path: str = ""
    digest: str = ""

    @classmethod
    def of(cls, server: Arbiter) -> Configured:
        """Return what Gunicorn has just read: empty for ``python:`` and with no file."""
        name = str(server.cfg.config or "").removeprefix("file:")
        # Without one the setting still has its default.
        if name.startswith("python:") or "__config__" not in sys.modules:
            return cls()
        # Gunicorn reads it in the directory where it was started, and only then goes to ``chdir``.
        started_in = getattr(server.cfg.settings.get("chdir"), "default", None)
        path = Path(started_in or server.START_CTX["cwd"]) / name
        try:
            return cls(str(path), hashlib.sha256(path.read_bytes()).hexdigest())
        except OSError:
            return cls()
