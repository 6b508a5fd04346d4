"""What a fresh worker of an arbiter would run, against what is deployed.

A link is followed once, when a process starts. So an arbiter, and what it forks, stays where a
link led then: in its directory, with its interpreter, its environment and its Gunicorn. What
runs is told by the processes themselves (``wire.places``); what is deployed is where supervisord's
description of the program, and those very texts, lead now. What cannot be looked at from here
says nothing.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path

from supervisor_roll.listener.edges import told_paths
from supervisor_roll.wire import places
from supervisor_roll.wire.places import Place
from supervisor_roll.wire.program import Program

_NAMES = {
    places.COMMAND: "its command",
    places.PYTHON: "its interpreter",
    places.ENVIRONMENT: "its environment",
    places.PATH: "the import path",
}
# An environment that was put in another's place has other files at the same path. A script or
# an interpreter that was installed anew has, too, and is no other for that.
_FOLDERS = frozenset({places.ENVIRONMENT, places.PATH})
# A path may lead through 40 links, and to look at each takes time.
_MOST_PLACES = 20
# As many as the kernel follows.
_MOST_LINKS = 40


def elsewhere(run: Sequence[Place], program: Program | None) -> str:
    """Why the arbiter's fresh workers would not run what is deployed; empty if they would.

    ``run`` is where it runs from, ``program`` what supervisord would spawn, if that is known.
    """
    known = {one.kind: one for one in run}
    if not _same_root(known):
        return ""
    why = _by_program(program, known) if program is not None else ""
    if why:
        return why
    for one in [one for one in run if one.kind in _NAMES][:_MOST_PLACES]:
        if now := moved(one, one.kind in _FOLDERS):
            return f"{_NAMES[one.kind]} {one.text} {_told(one, now)}"
    return ""


def strays(run: Sequence[Place], worker: Sequence[Place]) -> str:
    """How a worker that has loaded its application no longer runs what is deployed; or empty.

    ``run`` is where its arbiter runs from, ``worker`` where it does.
    """
    if not _same_root({one.kind: one for one in run}):
        return ""
    for one in worker[:_MOST_PLACES]:
        now = moved(one, one.kind == places.CHDIR)
        if now and one.kind == places.APP:
            return f"it loaded {one.real}, and {one.text} now leads to {now}"
        if now and one.kind == places.CHDIR:
            return f"it runs in {one.real}, and {one.text} now leads to {now}"
    return ""


def moved(place: Place, is_folder: bool) -> str:
    """Where the place's text leads now, if that is elsewhere; empty if not, or not to be seen."""
    try:
        real, node = told_paths.led_to(place.text)
    except (OSError, ValueError):
        return ""
    if is_folder and place.node:
        # The same folder may have been given another name.
        return real if node != place.node else ""
    return real if real != place.real else ""


def _same_root(known: Mapping[str, Place]) -> bool:
    root = known.get(places.ROOT)
    try:
        return root is not None and root.node == told_paths.led_to("/")[1]
    except OSError:
        return False


def _by_program(program: Program, known: Mapping[str, Place]) -> str:
    directory, found = known.get(places.DIRECTORY), known.get(places.FOUND)
    run = [known[kind] for kind in (places.COMMAND, places.PYTHON) if kind in known]
    if directory is None:
        return ""
    now = moved(Place("", program.directory, directory.real, directory.node), True)
    by_name = found is not None and program.arguments[0] == found.text
    # What a wrapper does is not known: it may go elsewhere itself. But a link on its way that
    # was made since may have made it another.
    wraps = not by_name and not _executes(program.file, run)
    if now and (not wraps or now == directory.real):
        return f"directory={program.directory} {_told(directory, now)}"
    if found is not None and by_name:
        other = moved(Place("", program.file, found.real), False)
        return f"its command {found.text} {_told(found, other)}" if other else ""
    link = _link_since(program, known.get(places.BEGAN)) if wraps else ""
    return f"the link {link}, in its command or directory, was set since it began" if link else ""


def _told(place: Place, now: str) -> str:
    if now == place.real:
        return "is another folder now than the one that its arbiter began with"
    return f"now leads to {now}, and its arbiter began with {place.real}"


def _executes(file: str, run: list[Place]) -> bool:
    """Whether one of the places is the very file, so that nothing came between."""
    try:
        real, _ = told_paths.led_to(file)
    except (OSError, ValueError):
        real = file
    return any(file == one.text or real == one.real for one in run)


def _link_since(program: Program, began: Place | None) -> str:
    """Return a link in the program's directory or command that was made after its arbiter began."""
    try:
        since = float(began.real) if began is not None else None
    except ValueError:
        since = None
    if since is None:
        return ""
    paths = re.findall(r"/[^\s'\"`;&|()<>$=:,]+", " ".join(program.arguments))
    for path in dict.fromkeys([program.directory, program.file, *paths]):
        for link in islice(_links(Path(program.directory) / path), _MOST_LINKS):
            try:
                if link.lstat().st_ctime > since:
                    return str(link)
            except OSError:
                break
    return ""


def _links(path: Path, most: int = _MOST_LINKS) -> Iterator[Path]:
    """Yield the links that are followed on the way to ``path``; of some, there is no end."""
    here = Path(path.anchor)
    for part in path.parts[1:]:
        here /= part
        try:
            if not stat.S_ISLNK(here.lstat().st_mode):
                continue
            yield here
            if most:
                yield from _links(here.parent / here.readlink(), most - 1)
            here = Path(told_paths.led_to(str(here))[0])
        except (OSError, ValueError):
            return
