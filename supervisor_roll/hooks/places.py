"""Where an arbiter and its workers run from, told by those who know it.

What the arbiter loaded at its start stays with it, wherever the links on its way lead later.
Its workers load the application by the path that ``chdir`` names, so by a link as it is then,
and their working directory is to be the same one.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from supervisor_roll.wire import places
from supervisor_roll.wire.places import Place

if TYPE_CHECKING:
    from supervisor_roll.hooks.gunicorn_types import Arbiter, Worker


def of_arbiter(server: Arbiter) -> list[Place]:
    """Return the arbiter's places. To be called at its start, before anything can have moved."""
    return list(_of_arbiter(server))


def import_path() -> dict[str, str]:
    """Resolve each folder of sys.path. To be called before a worker loads anything."""
    resolved = {}
    for path in sys.path:
        if path.startswith("/"):
            resolved[path] = _real(path)
            # What is in a folder is remembered by its time, which two releases may have in common.
            finder = sys.path_importer_cache.get(path)
            if finder is not None and hasattr(finder, "invalidate_caches"):
                finder.invalidate_caches()
    return resolved


def of_worker(worker: Worker, here: Place, import_path: dict[str, str]) -> list[Place]:
    """Return a worker's places. ``here``, where it was, and ``import_path`` are as of its fork.

    For a link may move while it boots, and the application may go elsewhere.
    """
    found = [here]
    uri = str(getattr(worker.app, "app_uri", None) or "")
    file = getattr(sys.modules.get(uri.partition(":")[0]), "__file__", None)
    if isinstance(file, str):
        led = [path for path in import_path if file.startswith(f"{path}/")]
        path = max(led, key=len, default="")
        real = _real(import_path.get(path, "") + file.removeprefix(path))
        found.append(Place(places.APP, file, real))
    return found


def reloaded(server: Arbiter, started: list[Place]) -> list[Place]:
    """Return ``started``, the arbiter's places, as they are after HUP, which goes to ``chdir``."""
    here = _here(str(server.cfg.chdir))
    return [here if one.kind == places.CHDIR else one for one in started]


def follow(worker: Worker, started: list[Place]) -> Place:
    """Go to where ``chdir`` leads now, from where it led when the arbiter went there.

    To be called right after the fork; it returns where the worker is then. ``started`` are the
    arbiter's places. One whose configuration has gone elsewhere is left there.
    """
    own = next((one for one in started if one.kind == places.CHDIR), None)
    if own and own.text == worker.cfg.chdir and own.node == _node("."):
        try:
            os.chdir(own.text)
        except OSError:
            pass  # it is gone: Gunicorn would stay here, too
    return here(str(worker.cfg.chdir))


def here(chdir: str) -> Place:
    """Return the working directory: of the kind CHDIR, if that is where ``chdir`` leads now."""
    found = _here(chdir)
    return found if found.node == _node(chdir) else replace(found, kind=places.CWD)


def _of_arbiter(server: Arbiter) -> Iterator[Place]:
    cfg = getattr(server, "cfg", None)
    if cfg is None:
        return
    yield _place(places.ROOT, "/")
    yield Place(places.BEGAN, "", f"{time.time():.3f}")
    # Gunicorn notes where it was started before it goes to ``chdir``.
    start = getattr(cfg.settings.get("chdir"), "default", None) or server.START_CTX["cwd"]
    yield _place(places.DIRECTORY, str(start))
    yield _here(str(cfg.chdir))
    command = Path(start) / sys.argv[0]
    yield _place(places.COMMAND, str(command))
    name = Path(sys.argv[0]).name
    found = shutil.which(name)
    if found and os.path.realpath(found) == os.path.realpath(command):
        yield _place(places.FOUND, name, command)
    if sys.executable:
        yield _place(places.PYTHON, sys.executable)
    yield _place(places.ENVIRONMENT, sys.prefix)
    for path in _imported_from(str(cfg.chdir)):
        yield _place(places.PATH, path)


def _imported_from(chdir: str) -> list[str]:
    """Return what of sys.path was imported from, but the interpreter's own and ``chdir``."""
    own = tuple(f"{one}/" for one in {sys.prefix, sys.base_prefix, sys.exec_prefix})
    files = [getattr(module, "__file__", None) for module in list(sys.modules.values())]
    return [
        path
        for path in dict.fromkeys(sys.path)
        if Path(path).is_absolute()
        and path != chdir
        and not f"{path}/".startswith(own)
        and any(isinstance(file, str) and file.startswith(f"{path}/") for file in files)
    ]


def _here(chdir: str) -> Place:
    """Return the working directory as the kernel says it, which also knows a removed one."""
    try:
        real = os.readlink("/proc/self/cwd")  # noqa: PTH115
    except OSError:
        real = ""
    return Place(places.CHDIR, chdir, real, _node("."))


def _real(path: str) -> str:
    """Return where ``path`` leads, as ``os.path.realpath`` does, but in three system calls."""
    try:
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return os.path.realpath(path)
    try:
        return os.readlink(f"/proc/self/fd/{fd}")  # noqa: PTH115
    except OSError:
        return os.path.realpath(path)
    finally:
        os.close(fd)


def _place(kind: str, text: str, path: Path | None = None) -> Place:
    where = Path(text) if path is None else path
    return Place(kind, text, os.path.realpath(where), _node(where))


def _node(path: str | Path) -> str:
    try:
        found = os.stat(path)  # noqa: PTH116 - in a worker pathlib is slow
    except OSError:
        return ""
    return f"{found.st_dev}:{found.st_ino}"
