"""Which release each worker runs: what ``release=`` says of the very files that it has loaded."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from supervisor_roll.listener.arbiters.arbiter import Arbiter, Worker
from supervisor_roll.listener.edges import told_paths
from supervisor_roll.listener.edges.seldom import Seldom
from supervisor_roll.listener.side_processes.process import NotPossible, Result
from supervisor_roll.listener.side_processes.side_processes import SideProcesses
from supervisor_roll.wire.messages import Describing
from supervisor_roll.wire.places import APP, CHDIR, CWD, Place, decode
from supervisor_roll.wire.program import Program

# What a command may take to tell the release.
COMMAND_SECS = 10.0
MOST = 80
# Of one program: whoever says it is a worker of it has one run.
AT_ONCE = 4
_KEY = "release of "  # no namespec has a space


class Releases:
    """Notes the release on each worker; a command, which takes its time, runs beside."""

    def __init__(self, sides: SideProcesses, program: Callable[[str], Program]) -> None:
        self._sides, self._program = sides, program
        self._unknown = Seldom()
        self._asked: dict[str, tuple[str, Worker]] = {}  # with the program's namespec
        self._waiting: dict[str, dict[str, Callable[[], None]]] = {}  # by namespec, and key

    def told_by(self, arbiter: Arbiter, worker: Worker, release: str, message: Describing) -> None:
        """``worker`` was forked, or has loaded its application; ``release`` is the setting."""
        runs = decode(message.runs)
        found = release_at(release, runs)
        if found is not None:
            worker.release = found
            return
        namespec, key = arbiter.namespec, f"{_KEY}{worker.id.pid}"
        if worker.release or key in self._asked:
            return
        here = next((one.real for one in runs if one.kind in (CHDIR, CWD)), "")
        waiting = self._waiting.setdefault(namespec, {})
        waiting[key] = partial(self._ask, key, namespec, worker, release, here)
        self._ask_next(namespec)

    def _ask_next(self, namespec: str) -> None:
        waiting = self._waiting.get(namespec, {})
        while waiting and [one for one, _ in self._asked.values()].count(namespec) < AT_ONCE:
            waiting.pop(next(iter(waiting)))()

    def _ask(self, key: str, namespec: str, worker: Worker, release: str, here: str) -> None:
        try:
            program = self._program(namespec)
            # Where a worker is, it may have put anything: nothing of that runs with more rights.
            self._sides.command(
                key,
                release,
                program,
                "",
                COMMAND_SECS,
                worker=worker.id.pid,
                uid=worker.uid,
                directory=here,
            )
            self._asked[key] = namespec, worker
        except NotPossible as error:
            self._unknown.warn("%s: release: %s", namespec, error)

    def told(self, key: str, result: Result) -> str:
        """Note the answer of a side process that has ended; return whose, empty if none of ours."""
        if key not in self._asked:
            return ""
        namespec, worker = self._asked.pop(key)
        worker.release = last_line(result.output) if result.ok else "?"
        if not result.ok:
            self._unknown.warn("%s: release: %s", namespec, result.text)
        self._ask_next(namespec)
        return namespec


def release_at(path: str, runs: Sequence[Place] = ()) -> str | None:
    """Return the name of the target of a link, or the first line of a file.

    ``runs`` are the places of a worker: what counts is where the link led when the worker came
    by, not where it leads now. None if ``path`` is neither, and so is a command; "?" if it cannot
    be read.
    """
    place = Path(path)
    try:
        if place.is_symlink():
            return (_as_run(place, runs) or place.readlink()).name[:MOST]
        if place.is_file():
            # What is in a worker's release is its user's as a rule: it may lead elsewhere.
            own = _as_run(place, runs)
            text = told_paths.contents(
                str(own or place), 4096, follow=False, is_real=own is not None
            )
            return text.decode(errors="replace").partition("\n")[0].strip()[:MOST]
    except (OSError, ValueError):
        return "?"
    return None


def _as_run(path: Path, runs: Sequence[Place]) -> Path | None:
    """``path`` through the releases' folder that the worker is in; None if that is not known.

    Releases lie beside each other: where a link on the way leads to one now, and the worker is in
    another, it is that one.
    """
    own = [one for one in runs if one.kind == APP and "site-packages" not in one.real]
    own += [one for one in runs if one.kind in (CHDIR, CWD)]
    for link in reversed([path, *path.parents]):
        if not link.is_symlink():
            continue
        try:
            target = Path(told_paths.led_to(str(link))[0])
        except (OSError, ValueError):
            continue  # it leads nowhere
        for one in own:
            real = Path(os.path.normpath(one.real))
            if real.is_relative_to(target):
                return None
            if real.is_relative_to(target.parent) and real != target.parent:
                release = target.parent / real.relative_to(target.parent).parts[0]
                return release / path.relative_to(link)
    return None


def last_line(output: str) -> str:
    """Return what a command that tells the release has printed last."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return lines[-1][:MOST] if lines else "?"
