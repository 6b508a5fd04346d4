"""Runs inside the soak's supervisord, for ``--trace``: what Python memory it holds, and where."""

from __future__ import annotations

import ctypes
import gc
import tracemalloc
from typing import Any

import psutil

_MOST = 15


class Trace:
    """The XML-RPC methods ``trace.*``."""

    def __init__(self) -> None:
        tracemalloc.start(4)
        self._first: tracemalloc.Snapshot | None = None

    def start(self) -> bool:
        """Let what is held from now on be compared with what is held now."""
        gc.collect()
        self._first = tracemalloc.take_snapshot()
        return True

    def growth(self) -> str:
        """Tell where what has been added since ``start`` was made."""
        gc.collect()
        held, peak = tracemalloc.get_traced_memory()
        found = tracemalloc.take_snapshot().compare_to(self._first, "traceback")
        process = psutil.Process()
        before = process.memory_full_info().uss
        ctypes.CDLL(None).malloc_trim(0)
        trimmed = process.memory_full_info().uss
        lines = [
            f"live {held / 1024:.0f} KiB, peak {peak / 1024:.0f} KiB; malloc_trim has given back "
            f"{(before - trimmed) / 1024:.0f} KiB; since start:"
        ]
        for one in found[:_MOST]:
            lines.append(f"{one.size_diff / 1024:+9.1f} KiB in {one.count_diff:+} blocks")
            lines += [f"    {line.strip()}" for line in one.traceback.format()[-6:]]
        return "\n".join(lines)


def make(_supervisord: Any, **_config: str) -> Trace:
    return Trace()
