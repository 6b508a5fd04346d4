"""What other event listeners are told of rollouts: REMOTE_COMMUNICATION events of supervisord's.

docs/reference.rst documents them; a key is only ever added within one VERSION.
"""

from __future__ import annotations

from supervisor.events import RemoteCommunicationEvent, notify

from supervisor_roll.rollout import reports
from supervisor_roll.wire.codec import to_json
from supervisor_roll.wire.mailbox import OWN_RECYCLING, RECYCLE, ROLLOUT, UPDATE, Job, Report

VERSION = 1
_STARTED, _RECYCLED = "started", "recycled"
_WORDS = {
    reports.Began.kind: _STARTED,
    reports.Complete.kind: "complete",
    reports.Failed.kind: "failed",
    reports.Aborted.kind: "aborted",
    reports.Refused.kind: "refused",
}


def announce(report: Report, job: Job) -> None:
    """Tell whoever listens that a rollout has begun or ended, if the report says so."""
    type = type_of(report, job)
    if type:
        told = {key: one for key, one in vars(report).items() if key != "seq"}
        body = {"version": VERSION, "by": job.by, **told}
        notify(RemoteCommunicationEvent(type, to_json(body)))


def type_of(report: Report, job: Job) -> str:
    """Return the event's type; empty for a report that there is none for."""
    word = _WORDS.get(report.kind)
    if word is None or not report.program or job.kind not in (ROLLOUT, UPDATE, RECYCLE):
        return ""
    # The listener's own recyclings are named so too; they come day and night.
    if job.kind == RECYCLE or job.id.startswith(OWN_RECYCLING):
        word = {_STARTED: "", "complete": _RECYCLED}.get(word, word)
    return f"supervisor_roll.{word}" if word else ""
