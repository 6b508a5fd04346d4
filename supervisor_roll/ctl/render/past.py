"""A rollout that has ended, in words. Pure."""

from __future__ import annotations

from supervisor_roll.rollout.reports import Past
from supervisor_roll.wire.mailbox import Report


def past_of(report: Report) -> Past:
    return report.content if isinstance(report.content, Past) else Past()


def asked_by(past: Past) -> str:
    return f"{past.by}: recycled" if past.recycling else past.by


def replaced(past: Past) -> str:
    return f"{past.replaced}/{past.total}" if past.total else ""


def release(past: Past) -> str:
    before, after = past.release_before, past.release_after
    return before if before == after or not after else f"{before or '?'} -> {after}"
