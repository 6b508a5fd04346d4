"""What each report and status looks like to a stranger."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from supervisor_roll.ctl.render.reports import outcome_line, report_lines
from supervisor_roll.ctl.render.status import status_lines, status_table
from supervisor_roll.rollout.reports import KINDS
from supervisor_roll.wire.mailbox import Report, Status

ENDED = {
    "why": "",
    "secs": 8.13,
    "replaced": 1,
    "total": 4,
    "min_ready": 4,
    "desired": 4,
    "count": 4,
    "outdated": [2, 3, 4],
    "fresh": [11],
}


def lines(kind: str, told: str = "", **facts: Any) -> list[str]:
    return report_lines(Report("1", "myapp", kind, facts), told)


@pytest.mark.parametrize(
    ("kind", "facts", "line"),
    [
        (
            "began",
            {"workers": 1, "ready": 1, "max_surge": 1, "max_unavailable": 0},
            "rolling 1 worker (surge 1, unavailable 0)",
        ),
        (
            "began",
            {"workers": 4, "ready": 3, "max_surge": 0, "max_unavailable": 1},
            "rolling 4 workers (surge 0, unavailable 1); only 3 of 4 ready now",
        ),
        (
            "replaced",
            {"old": 4712, "new": 4790, "boot_secs": 3.051, "health": "", "done": 1, "total": 4},
            "1/4  worker 4712 -> 4790  booted in 3.05 s",
        ),
        ("left", {"pid": 7, "why": "exit status 3"}, "worker 7 exited on its own: exit status 3"),
        ("left", {"pid": 7, "why": ""}, "worker 7 exited on its own"),
        (
            "stuck",
            {"pid": 7, "secs": 60.0, "signal": "ABRT"},
            "worker 7 has not left after 60 s: sent it ABRT "
            "(a sync worker's log shows where it hangs)",
        ),
        (
            "stuck",
            {"pid": 7, "secs": 65.2, "signal": "KILL"},
            "worker 7 has not left after 65 s: sent it KILL",
        ),
        ("warning", {"text": "preload_app is on"}, "warning: preload_app is on"),
        ("broken", {"why": "worker 7 died", "pid": 7}, "FAILING: worker 7 died"),
        (
            "complete",
            {**ENDED, "secs": 123.4, "replaced": 4, "min_ready": 3},
            "complete: 4 workers replaced in 123 s, never fewer than 3 ready",
        ),
        ("refused", {"why": "add the hook"}, "refused, nothing was touched: add the hook"),
        ("skipped", {"why": "no Gunicorn program"}, "skipped: no Gunicorn program"),
        ("drained", {"secs": 1.234, "sessions": 0}, "out of service after 1.2 s"),
        ("drained", {"secs": 60, "sessions": 1}, "out of service after 60.0 s; 1 session left"),
        ("in-service", {"secs": 0.5}, "in service after 0.5 s"),
        ("undone", {"why": "HAProxy refuses it"}, "not done: HAProxy refuses it"),
        ("invented", {"later": 1}, "invented {'later': 1}"),
    ],
)
def test_a_report_is_one_line(kind: str, facts: dict[str, Any], line: str) -> None:
    assert lines(kind, **facts) == [f"myapp: {line}"]


def test_a_failure_says_what_serves_and_what_to_do() -> None:
    assert lines("failed", **ENDED) == [
        "myapp: failed: 1 of 4 workers replaced in 8.1 s; still serving: 4 workers"
        " (3 outdated, 1 fresh)",
        "    both releases serve now; once the cause is repaired, run rollrestart again",
    ]


def test_a_reason_that_was_told_is_not_told_again() -> None:
    why = "worker 7 died"
    assert "    worker 7 died" in lines("failed", **{**ENDED, "why": why})
    assert "    worker 7 died" not in lines("failed", why, **{**ENDED, "why": why})
    assert lines("failed", why, **{**ENDED, "why": f"{why}; the worker count is 3"})[1] == (
        "    the worker count is 3"
    )


def test_where_nothing_serves_that_is_said() -> None:
    assert lines("failed", **{**ENDED, "outdated": [], "fresh": []})[-1] == (
        "    its arbiter is gone with its workers; what supervisord starts in their place runs the "
        "release that is deployed now: see `supervisorctl status`"
    )


def test_a_traceback_is_indented_and_only_its_middle_is_left_out() -> None:
    why = "\n".join(["cannot boot:", *(f"  line {n}" for n in range(100)), "KeyError: 'x'\n"])
    got = lines("broken", why=why, pid=7)
    assert got[0] == "myapp: FAILING: cannot boot:"
    assert got[1:3] == ["    ...", "      line 63"]
    assert got[-1] == "    KeyError: 'x'"
    assert len(got) == 40


def test_nothing_that_a_worker_says_can_move_the_cursor() -> None:
    for line in lines("broken", why="\x1b[2J\rOops\x07\n\tx\x9b", pid=7):
        assert line.isprintable()


@pytest.mark.parametrize("kind", sorted(KINDS))
@pytest.mark.parametrize("junk", [None, "x", [], {}, True])
def test_a_fact_that_is_missing_or_strange_breaks_no_line(kind: str, junk: object) -> None:
    assert lines(kind)[0].startswith("myapp: ")
    keys = [field.name for field in dataclasses.fields(KINDS[kind])]
    assert lines(kind, **dict.fromkeys(keys, junk))[0].startswith("myapp: ")


def test_the_outcome_of_several_programs_is_one_line() -> None:
    kinds = {"a": "complete", "b": "failed", "c": "skipped", "d": "skipped", "e": ""}
    assert outcome_line(kinds) == (
        "5 programs: 1 complete, 1 failed, 2 skipped, 1 without an outcome"
    )


def test_of_programs_that_were_rolled_at_once_the_line_names_the_failed_in_their_order() -> None:
    kinds = {"c": "failed", "a": "complete", "d": "skipped", "b": "failed", "e": "refused"}
    assert outcome_line(kinds, named=True) == (
        "5 programs: 1 complete, 2 failed (c, b), 1 refused (e), 1 skipped"
    )


def test_of_programs_that_were_drained_the_line_names_those_that_were_not() -> None:
    kinds = {"a": "drained", "b": "undone", "c": "drained"}
    assert outcome_line(kinds, named=True) == "3 programs: 1 undone (b), 2 drained"


def test_what_is_out_of_service_is_shown() -> None:
    one = Status("idle", 1000.0, drained="ops")
    assert "  drained   out of service, asked for by ops" in status_lines("web", one, 1010.0)
    assert "never rolled, drained" in status_table({"web": one}, 1010.0)[1]


def test_the_table_has_a_row_for_each_program() -> None:
    table = status_table(
        {
            "web:a": Status(
                "failed",
                1000.0,
                why="died:\nOops",
                done=1,
                total=4,
                ready=4,
                desired=4,
                ended=1010.0,
            ),
            "myapp": Status("progressing", 1000.0, done=0, total=2, ready=2, desired=2),
        },
        1060.0,
    )
    assert table == [
        "PROGRAM  STATE        SINCE     REPLACED  READY  WHY",
        "myapp    progressing  60 s ago  0/2       2/2",
        "web:a    failed       50 s ago  1/4       4/4    died: ...",
    ]


def test_one_status_in_detail() -> None:
    text = "\n".join(
        status_lines(
            "myapp",
            Status("failed", 1000.0, "root", "1", "died:\n  Oops", 1, 4, 4, 4, 3, 1012.5),
            1000.0 + 7200,
        )
    )
    assert text.startswith("myapp: failed\n  began     ")
    assert "(2 h ago)\n" in text
    assert "(after 12.5 s)\n  asked by  root\n  replaced  1 of 4 workers\n" in text
    assert text.endswith("  ready     4 of 4, never fewer than 3\n  why       died:\n        Oops")
