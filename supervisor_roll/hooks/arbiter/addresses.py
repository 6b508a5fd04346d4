"""What a Gunicorn configuration says to listen on, as canonical text and as paths."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from supervisor_roll.hooks.gunicorn_types import Config


def text_of(address: Any) -> str:
    """Write an address as Gunicorn has parsed it, or as ``getsockname()`` has it, as text.

    ``127.0.0.1:8000``, ``[::1]:8000``, ``unix:/run/x.sock``, ``fd://0``. A relative path is
    made absolute, since the working directory of another arbiter may be another.
    """
    if isinstance(address, int):
        return f"fd://{address}"
    if isinstance(address, tuple):
        host, port = address[:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    path = path_of(address)
    return f"unix:{path}" if path else "unix:@" + os.fsdecode(address)[1:]


def texts_of(cfg: Config) -> list[str]:
    """Return the addresses of a Gunicorn configuration, in its order."""
    return [text_of(address) for address in cfg.address]


def path_of(address: Any) -> str:
    """Return the absolute path of a Unix socket; empty for any other, an abstract one too."""
    if not isinstance(address, (str, bytes)):
        return ""
    name = os.fsdecode(address)
    return str(Path.cwd() / name) if name and not name.startswith("\0") else ""


def inherits(cfg: Config) -> bool:
    """Tell whether whoever started Gunicorn opened the sockets (``fd://0``): it opens no other."""
    return any(isinstance(address, int) for address in cfg.address)


def unix_paths(cfg: Config) -> list[str]:
    """Return the paths of the Unix sockets that Gunicorn opens itself."""
    return [] if inherits(cfg) else [path for one in cfg.address if (path := path_of(one))]


def is_socket(path: str) -> bool:
    """Tell whether a Unix socket is at this path, whether or not anybody serves there."""
    try:
        return stat.S_ISSOCK(Path(path).stat().st_mode)
    except OSError:
        return False
