"""Which reports are announced as events, and as what."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from supervisor_roll.rollout import reports
from supervisor_roll.rpc import announcements
from supervisor_roll.rpc.announcements import type_of
from supervisor_roll.rpc.mailbox import Mailbox
from supervisor_roll.wire import mailbox as wire
from supervisor_roll.wire.mailbox import Job, Report

REFERENCE = Path(__file__).parents[2] / "docs" / "reference.rst"
ENDS = {
    "complete": "complete",
    "failed": "failed",
    "aborted": "aborted",
    "refused": "refused",
}


def types(kind: str, id: str = "1") -> dict[str, str]:
    """Of a job of this kind: the kinds of reports that are announced, and as what."""
    job = Job(id, kind, ["web"])
    found = {one: type_of(Report(id, "web", one), job) for one in reports.KINDS}
    return {kind: type.removeprefix("supervisor_roll.") for kind, type in found.items() if type}


@pytest.mark.parametrize("kind", [wire.ROLLOUT, wire.UPDATE])
def test_a_rollout(kind: str) -> None:
    assert types(kind) == {"began": "started", **ENDS}


@pytest.mark.parametrize(("kind", "id"), [(wire.RECYCLE, "1"), (wire.ROLLOUT, f"{wire.RECYCLE}-1")])
def test_a_recycling_is_told_once_it_has_ended(kind: str, id: str) -> None:
    assert types(kind, id) == {**ENDS, "complete": "recycled"}


@pytest.mark.parametrize("kind", sorted({*wire.ASKED} - {wire.ROLLOUT, wire.UPDATE, wire.RECYCLE}))
def test_what_is_no_rollout_is_not_announced(kind: str) -> None:
    assert types(kind) == {}


def test_what_is_about_no_program_is_not_announced() -> None:
    assert type_of(Report("1", "", "refused"), Job("1", wire.UPDATE, ["all"])) == ""


def test_the_reference_has_every_type() -> None:
    told = set(re.findall(r"``supervisor_roll\.(\w+)``", REFERENCE.read_text()))
    assert told == {*types(wire.ROLLOUT).values(), *types(wire.RECYCLE).values()}


def test_the_mailbox_tells_of_a_job_with_who_asked_for_it() -> None:
    told: list[tuple[Report, Job]] = []
    mailbox = Mailbox(lambda report, job: told.append((report, job)))
    ask = wire.Command(wire.ROLLOUT, ["web"], by="ops")
    id = mailbox.put(ask, ["web"], False, 0.0, 0.0).id
    said = wire.Exchange(1, reports=[Report(id, "web", "began"), Report("auto", "api", "failed")])
    mailbox.exchange(said, 0.0, 0.0, lambda namespec, name: "")
    assert [(report.kind, job.by) for report, job in told] == [
        ("began", "ops"),
        ("failed", "the listener"),
    ]


def test_what_is_announced_is_one_line_of_ascii(monkeypatch: pytest.MonkeyPatch) -> None:
    payloads: list[str] = []
    monkeypatch.setattr(announcements, "notify", lambda event: payloads.append(event.payload()))
    why = "worker 1 failed:\nOops \u2603\x1b[2J"
    report = Report("1", "web", "failed", {"why": why}, 2.0)
    announcements.announce(report, Job("1", wire.ROLLOUT, ["web"], "ops"))
    announcements.announce(Report("1", "web", "note"), Job("1", wire.ROLLOUT, ["web"]))
    [payload] = payloads
    first, body = payload.split("\n")
    assert first == "type:supervisor_roll.failed"
    assert body.isascii() and body.isprintable()
