"""Which release a worker runs: what ``release=`` says at the moment the worker is forked."""

from __future__ import annotations

from pathlib import Path

MOST = 80


def release_at(path: str) -> str | None:
    """The name of the target of a link, or the first line of a file.

    None if ``path`` is neither, and so is a command; "?" if it cannot be read.
    """
    place = Path(path)
    try:
        if place.is_symlink():
            return place.readlink().name[:MOST]
        if place.is_file():
            with place.open(errors="replace") as file:
                return file.readline(4096).strip()[:MOST]
    except OSError:
        return "?"
    return None


def last_line(output: str) -> str:
    """What a command that tells the release has printed last."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return lines[-1][:MOST] if lines else "?"
