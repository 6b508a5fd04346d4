"""What a process executes, as the kernel shows it, and whether that is Gunicorn."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from supervisor_roll.listener.edges.process_stat import PROC, age_secs, stat_of
from supervisor_roll.wire.datagram import WORKER_MARK

_GUNICORN = re.compile(r"\.?gunicorn[-.\d]*(-wrapped)?")
_PYTHON = re.compile(r"\.?(python|pypy|graalpy)[-.\d\w]*")
# A process may show as much as it likes there (PR_SET_MM_MAP), and have a great many mappings.
_MAX_BYTES = {"cmdline": 1 << 16, "environ": 1 << 18, "maps": 1 << 22}
# Options of Python that take the next word.
_WITH_VALUE = frozenset({"-W", "-X", "--check-hash-based-pycs"})


@dataclass(frozen=True)
class Executed:
    """One process. ``environment`` is None where it cannot be told.

    ``shares_memory``: it has memory that it shares with its children, or that cannot be told.
    An arbiter with the hooks has some (``hooks.pages``), one without them has none.
    """

    executable: str
    arguments: list[str]
    environment: dict[str, str] | None = None
    shares_memory: bool = True
    age_secs: float = 0.0

    @classmethod
    def of(cls, pid: int, proc: Path = PROC) -> Executed:
        """Of a process that has gone: one that executes nothing."""
        folder, stat = proc / str(pid), stat_of(pid, proc)
        arguments = _arguments(folder)
        return cls(
            _executable(folder),
            arguments,
            # A title is written over the environment that the kernel shows.
            None if _has_title(arguments) else _environment(folder),
            _shares_memory(folder),
            age_secs(stat.id) if stat else 0.0,
        )

    @property
    def is_gunicorn(self) -> bool:
        """It is Gunicorn, or a child of it that executes nothing else.

        An application that embeds Gunicorn does not show it but by its title; its hooks speak.
        """
        if _has_title(self.arguments):
            return True
        if not self.arguments:
            return False
        names = [PurePath(self.executable).name, PurePath(self.arguments[0]).name]
        if _GUNICORN.fullmatch(names[0]):
            return True
        return any(map(_PYTHON.fullmatch, names)) and _runs_gunicorn(self.arguments[1:])

    def may_be_worker_of(self, arbiter: Executed) -> bool:
        """Whether it executes what the arbiter does, or says that it is a worker."""
        if _has_title(self.arguments):
            return self.arguments[0].startswith("gunicorn: worker")
        return bool(self.arguments) and self.arguments == arbiter.arguments

    @property
    def names_gunicorn(self) -> bool:
        """It names Gunicorn's command, and so may execute it later."""
        words = re.findall(r"[^\s'\"();&|]+", " ".join(self.arguments))
        return any(_GUNICORN.fullmatch(PurePath(word).name) for word in words)

    @property
    def shown(self) -> str:
        """What it executes, in at most a line."""
        return " ".join(self.arguments)[:120] or "gone"


def _arguments(folder: Path) -> list[str]:
    """Return the process's arguments, or the title that it gave itself; empty if it has gone."""
    data, _ = _read(folder, "cmdline")
    return [os.fsdecode(one) for one in data.rstrip(b"\0").split(b"\0")] if data else []


def _has_title(arguments: Sequence[str]) -> bool:
    """Whether Gunicorn has set its title, as it does where setproctitle is installed."""
    return bool(arguments) and arguments[0].startswith("gunicorn: ")


def _executable(folder: Path) -> str:
    """Return the file that the process executes; empty if that cannot be told."""
    try:
        return str((folder / "exe").readlink()).removesuffix(" (deleted)")
    except OSError:
        return ""


def _environment(folder: Path) -> dict[str, str] | None:
    """Return the environment that the process was started with; None if that cannot be told."""
    data, whole = _read(folder, "environ")
    if not whole:
        return None
    pairs = (os.fsdecode(one).partition("=") for one in data.split(b"\0") if one)
    return {name: value for name, _, value in pairs}


def is_marked(pid: int, proc: Path = PROC) -> bool | None:
    """Whether it has the mark of a worker (``hooks.pages.mark``); None where nobody can tell."""
    memory = _memory(proc / str(pid))
    return None if memory is None else f" /memfd:{WORKER_MARK} (deleted)" in memory


def _shares_memory(folder: Path) -> bool:
    memory = _memory(folder)
    return memory is None or " /dev/zero (deleted)" in memory


def _memory(folder: Path) -> str | None:
    """Return what the process has in its memory; None if that cannot be told."""
    data, whole = _read(folder, "maps")
    return data.decode("utf-8", "replace") if whole else None


def _read(folder: Path, name: str) -> tuple[bytes, bool]:
    """Read what the kernel shows there, as far as that is bounded, and whether it is all."""
    most = _MAX_BYTES[name]
    try:
        with (folder / name).open("rb") as file:
            data = file.read(most + 1)
    except OSError:
        return b"", False
    return data[:most], len(data) <= most


def _runs_gunicorn(options: Sequence[str]) -> bool:
    """Whether Python with these arguments runs Gunicorn, as a module or by its script."""
    rest = iter(options)
    for one in rest:
        if one in _WITH_VALUE:
            next(rest, None)
        elif one.startswith(("-W", "-X", "--")):
            continue
        elif one.startswith("-") and "m" in one:
            # The module may stand in the same word, as in -mgunicorn; flags may come before it.
            module = one.partition("m")[2] or next(rest, "")
            return module == "gunicorn" or module.startswith("gunicorn.")
        elif one == "-" or (one.startswith("-") and "c" in one):
            return False
        elif not one.startswith("-"):
            return bool(_GUNICORN.fullmatch(PurePath(one).name)) or one.endswith(
                ("/gunicorn/__main__.py", "/gunicorn/app/wsgiapp.py")
            )
    return False
