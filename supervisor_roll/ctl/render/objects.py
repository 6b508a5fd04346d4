"""What --json prints in place of lines: objects, one a line. Pure.

docs/reference.rst documents them; a key is only ever added within one VERSION.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from supervisor_roll.ctl.selection import jobs_of
from supervisor_roll.wire import mailbox as wire

VERSION = 1

Object = dict[str, Any]


def _object(type: str, **fields: Any) -> Object:
    return {"version": VERSION, "type": type, **fields}


def requested(kind: str, receipt: wire.Receipt) -> Object:
    return _object(
        "requested",
        job=receipt.id,
        kind=kind,
        programs=receipt.programs,
        skipped=dict(receipt.skipped),
    )


def report(one: wire.Report) -> Object:
    """Return a report with all facts that its kind has."""
    facts = one.facts if one.content is None else vars(one.content)
    return _object("report", **{**vars(one), "facts": facts})


def ended(outcomes: dict[str, str], ok: bool) -> Object:
    return _object("ended", programs=outcomes, ok=ok)


def overview(found: wire.Overview, names: list[str] | None) -> Iterator[Object]:
    """Return what there is of ``names``, or of everything (None), and of the listener."""
    for name in sorted(found.programs) if names is None else names:
        status = found.programs.get(name) or wire.Status(wire.IDLE, 0.0)
        yield _object("status", program=name, **vars(status))
    for job in jobs_of(found.jobs, names):
        yield _object("job", job=job.id, kind=job.kind, programs=job.programs, by=job.by)
    yield _object("listener", **vars(found.listener or wire.Listener(0, "")))
