"""How a rollout of strategy arbiter looks, from its beginning to each of its ends."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from supervisor_roll.ctl.render.reports import report_lines
from supervisor_roll.ctl.render.status import overview_lines, status_lines, status_table
from supervisor_roll.ctl.screen import Screen
from supervisor_roll.ctl.selection import jobs_of, programs_of
from supervisor_roll.wire import mailbox as wire
from supervisor_roll.wire.mailbox import Job, Listener, Overview, Report, Status
from tests.rpc.supervised import Supervised

BEGAN: dict[str, Any] = {
    "strategy": "arbiter",
    "workers": 4,
    "desired": 4,
    "ready": 4,
    "max_surge": 4,
    "max_unavailable": 0,
    "arbiter": 5001,
    "changes": {"environment": "arbiter"},
    "reasons": ["its configuration has changed: environment"],
}
ENDED: dict[str, Any] = {
    "strategy": "arbiter",
    "why": "",
    "secs": 3.42,
    "replaced": 4,
    "total": 4,
    "min_ready": 4,
    "desired": 4,
    "count": 4,
    "outdated": [],
    "fresh": [1, 2, 3, 4],
    "arbiter": 5981,
    "workers": 4,
}
FAILED = {
    **ENDED,
    "secs": 8.13,
    "replaced": 0,
    "outdated": [1, 2, 3, 4],
    "fresh": [],
    "arbiter": 5001,
}
TAIL = (
    "the successor exited with status 3; the end of its output:\nTraceback (most recent call"
    " last):\n  File \"app.py\", line 1\nKeyError: 'DATABASE'"
)
COMPLETE_OUTPUT = """\
myapp: replacing the arbiter and its 2 workers (its configuration has changed: environment)
myapp: successor 5981 starts beside arbiter 5001
myapp: 1/2  worker 6199 of the successor ready  booted in 3.02 s  health 200 OK
myapp: 2/2  worker 6200 of the successor ready  booted in 3.02 s  health 200 OK
myapp: arbiter 5001 -> 5981  took over; 5001 finishes its requests
myapp: complete: arbiter and 2 workers replaced in 3.4 s, never fewer than 2 ready
"""
WHILE = Status(
    "progressing",
    1000.0,
    done=2,
    total=4,
    ready=6,
    desired=4,
    min_ready=4,
    strategy="arbiter",
    arbiter=5001,
    successor=5981,
)
AFTER = replace(WHILE, done=4, arbiter=5981, successor=0, retiring=5001)


def lines(kind: str, told: str = "", **facts: Any) -> list[str]:
    return report_lines(Report("1", "myapp", kind, facts), told)


def complete() -> list[list[Any]]:
    few = {"workers": 2, "desired": 2, "ready": 2}
    arrived = {"boot_secs": 3.02, "health": "200 OK", "total": 2}
    return [
        ["report", "myapp", kind, facts]
        for kind, facts in (
            ("began", {**BEGAN, **few}),
            ("succeeded", {"old": 5001, "new": 5981}),
            ("arrived", {**arrived, "pid": 6199, "done": 1}),
            ("arrived", {**arrived, "pid": 6200, "done": 2}),
            ("promoted", {"old": 5001, "new": 5981}),
            ("complete", {**ENDED, "replaced": 2, "min_ready": 2}),
        )
    ]


def test_rollrestart_shows_it_to_its_end_and_passes_the_strategy_on(site: Supervised) -> None:
    site.script(*complete(), ["done"])
    assert site.ctl("rollrestart", "--strategy", "arbiter", "myapp") == (0, COMPLETE_OUTPUT)
    assert site.requests[0]["values"] == {"strategy": "arbiter"}


def test_a_strategy_that_is_none_is_a_wrong_usage(site: Supervised) -> None:
    site.script()
    status, output = site.ctl("rollrestart", "--strategy", "both", "myapp")
    assert (status, output.splitlines()[0]) == (
        2,
        "Error: --strategy both: must be one of auto, workers, arbiter",
    )
    assert site.requests == []


@pytest.mark.parametrize(
    ("kind", "facts", "line"),
    [
        (
            "began",
            {**BEGAN, "reasons": ["it has preload_app", "as asked for"]},
            "replacing the arbiter and its 4 workers (it has preload_app; as asked for)",
        ),
        (
            "began",
            {**BEGAN, "reasons": [], "workers": 1, "ready": 1},
            "replacing the arbiter and its 1 worker",
        ),
        (
            "began",
            {**BEGAN, "reasons": ["as asked for"], "ready": 3, "canary": 1, "min_ready_secs": 5.0},
            "replacing the arbiter and its 4 workers (as asked for), canary 1 for 5 s;"
            " only 3 of 4 ready now",
        ),
        ("succeeded", {"old": 5001, "new": 5981}, "successor 5981 starts beside arbiter 5001"),
        (
            "arrived",
            {"pid": 6199, "boot_secs": 3.019, "health": "", "done": 1, "total": 4},
            "1/4  worker 6199 of the successor ready  booted in 3.02 s",
        ),
        (
            "promoted",
            {"old": 5001, "new": 5981},
            "arbiter 5001 -> 5981  took over; 5001 finishes its requests",
        ),
        (
            "complete",
            ENDED,
            "complete: arbiter and 4 workers replaced in 3.4 s, never fewer than 4 ready",
        ),
        (
            "broken",
            {"why": "the successor exited with status 1", "pid": 0},
            "FAILING: the successor exited with status 1",
        ),
    ],
)
def test_a_report_is_one_line(kind: str, facts: dict[str, Any], line: str) -> None:
    assert lines(kind, **facts) == [f"myapp: {line}"]


def test_a_failure_shows_the_end_of_the_successors_log_and_who_serves_on() -> None:
    assert lines("failed", **{**FAILED, "why": TAIL}) == [
        "myapp: failed: gave up after 8.1 s; nothing changed: arbiter 5001 serves on with 4"
        " workers",
        "    the successor exited with status 3; the end of its output:",
        "    Traceback (most recent call last):",
        '      File "app.py", line 1',
        "    KeyError: 'DATABASE'",
        "    once the cause is repaired, run rollrestart again",
    ]
    assert lines("failed", TAIL, **{**FAILED, "why": TAIL})[1:] == [
        "    once the cause is repaired, run rollrestart again"
    ]


def test_a_failure_that_left_fewer_workers_claims_no_more_than_that() -> None:
    left = "; the old arbiter is left with 3 of 4 workers"
    assert lines("failed", "died", **{**FAILED, "why": f"died{left}", "workers": 3})[:2] == [
        "myapp: failed: gave up after 8.1 s; arbiter 5001 serves on with 3 of 4 workers",
        "    the old arbiter is left with 3 of 4 workers",
    ]


def test_those_that_serve_although_their_check_fails_are_not_called_missing() -> None:
    assert lines("failed", "died", **{**FAILED, "why": "died", "unhealthy": 3})[0] == (
        "myapp: failed: gave up after 8.1 s; nothing changed: arbiter 5001 serves on with 4"
        " workers, of which 3 fail the health check"
    )


def test_what_fails_once_it_has_taken_over_is_not_told_as_nothing() -> None:
    assert lines("failed", **{**FAILED, "replaced": 4})[0] == (
        "myapp: failed: gave up after 8.1 s; arbiter 5001 serves on with 4 workers"
    )
    assert lines("failed", **{**FAILED, "replaced": 4, "arbiter": 0, "workers": 0}) == [
        "myapp: failed: gave up after 8.1 s; no arbiter is left",
        "    see `supervisorctl status` and the program's log",
    ]


def test_an_abort_says_who_serves_on() -> None:
    assert lines("aborted", **{**FAILED, "why": "aborted by root"}) == [
        "myapp: aborted: stopped after 8.1 s; nothing changed: arbiter 5001 serves on with 4"
        " workers",
        "    aborted by root",
    ]


def test_an_end_that_names_no_arbiter_is_told_by_the_workers() -> None:
    facts = {key: fact for key, fact in FAILED.items() if key not in ("arbiter", "workers")}
    assert lines("failed", **facts)[0].endswith("still serving: 4 workers (4 outdated, 0 fresh)")


def test_a_report_about_no_program_has_no_name_before_it() -> None:
    for kind, facts, line in (
        (
            "refused",
            {"why": "configuration is invalid"},
            "refused, nothing was touched: configuration is invalid",
        ),
        ("note", {"text": "redis: has changed"}, "redis: has changed"),
    ):
        assert report_lines(Report("1", "", kind, facts)) == [line]


@pytest.mark.parametrize(
    "kind", ["began", "succeeded", "arrived", "promoted", "complete", "failed", "aborted"]
)
@pytest.mark.parametrize(
    "junk", [None, "x", [], {}, True, [1], float("nan"), float("inf"), 10**400, -1]
)
def test_a_fact_that_is_missing_or_strange_breaks_no_line(kind: str, junk: object) -> None:
    assert lines(kind, strategy="arbiter")[0].startswith("myapp: ")
    keys = {*BEGAN, *ENDED, "old", "new", "pid", "boot_secs", "health", "done", "canary"}
    got = lines(kind, **{**dict.fromkeys(keys - {"strategy"}, junk), "strategy": "arbiter"})
    assert got[0].startswith("myapp: ")


# --- rollstatus -------------------------------------------------------------------------------


def test_the_table_says_which_arbiter_is_which() -> None:
    assert status_table(
        {"myapp": WHILE, "web:a": AFTER, "web:b": replace(AFTER, retiring=0)}, 1060.0
    ) == [
        "PROGRAM  STATE        SINCE     REPLACED  READY  WHY",
        "myapp    progressing  60 s ago  0/4       6/4",
        "    arbiter 5001 serves, its successor 5981 starts: 2 of 4 workers ready",
        "web:a    progressing  60 s ago  4/4       6/4",
        "    arbiter 5981 serves, 5001 finishes its requests",
        "web:b    progressing  60 s ago  4/4       6/4",
    ]


def test_so_does_a_status_in_detail() -> None:
    assert status_lines("myapp", WHILE, 1060.0)[2:4] == [
        "  replaced  0 of 4 workers",
        "  arbiter 5001 serves, its successor 5981 starts: 2 of 4 workers ready",
    ]
    assert status_lines("myapp", AFTER, 1060.0)[2:4] == [
        "  replaced  4 of 4 workers, with their arbiter",
        "  arbiter 5981 serves, 5001 finishes its requests",
    ]
    assert status_lines("myapp", replace(WHILE, arbiter=0), 1060.0)[3] == (
        "  no arbiter has its name, its successor 5981 starts: 2 of 4 workers ready"
    )


def test_rollstatus_shows_it_through_supervisord(site: Supervised) -> None:
    fields = {key: fact for key, fact in vars(WHILE).items() if key not in ("by", "job")}
    site.script(["status", "myapp", fields], *complete(), ["done"])
    site.ctl("rollrestart", "myapp")
    line = "    arbiter 5001 serves, its successor 5981 starts: 2 of 4 workers ready"
    assert line in site.ctl("rollstatus")[1].splitlines()
    assert line[2:] in site.ctl("rollstatus", "myapp")[1].splitlines()


def test_a_successor_and_a_retiring_arbiter_are_no_programs_of_their_own() -> None:
    everyone = [
        ("myapp", "myapp"),
        ("myapp", "myapp.successor"),
        ("web", "one.retiring"),
        ("web", "one"),
        ("odd", "odd.retiring.successor"),
        ("odd", "two.successor"),
    ]
    assert programs_of("all", everyone) == [
        "myapp",
        "web:one",
        "odd:odd.retiring.successor",
        "odd:two.successor",
    ]
    assert programs_of("web:*", everyone) == ["web:one"]
    assert programs_of("myapp:myapp.successor", everyone) == ["myapp"]
    assert programs_of("nosuch", everyone) == []


def test_a_job_of_kind_update_is_shown_by_what_it_is_about() -> None:
    def shown(programs: list[str], names: list[str] | None = None, by: str = "root") -> str:
        job = Job("1", wire.UPDATE, programs, by)
        found = Overview({}, Listener(1, "RUNNING"), [job])
        return overview_lines(found, names, 0.0)[-1]

    assert shown(["all"]) == "an update of all programs is under way, asked for by root"
    assert shown(["all", "", "a"]) == shown(["all"])
    assert shown(["", "a", "b"], by="") == "an update of a, b is under way"
    assert shown(["b", "a"], ["a"]) == "an update of a is under way, asked for by root"
    assert shown(list("abcdefg"), by="") == "an update of a, b, c, d, e and 2 more is under way"
    assert shown(["b"], ["a"]) == "a: never rolled"


def test_what_is_about_no_program_is_not_followed_as_one() -> None:
    assert jobs_of(
        [
            Job("1", wire.ROLLOUT, [""]),
            Job("2", wire.ROLLOUT, ["", "a"]),
            Job("3", wire.ABORT, ["a"]),
        ],
        None,
    ) == [Job("2", wire.ROLLOUT, ["a"])]


# --- the bar ----------------------------------------------------------------------------------


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal() -> Iterator[tuple[Terminal, Screen]]:
    out = Terminal()
    screen = Screen(out)
    yield out, screen
    screen.close()


def test_the_bar_counts_the_successors_workers(terminal: tuple[Terminal, Screen]) -> None:
    out, screen = terminal
    # One worker is being replaced by the old arbiter just now: the successor will have four.
    screen.follow(Report("1", "myapp", "began", {**BEGAN, "workers": 3}))
    screen.follow(Report("1", "myapp", "succeeded", {"old": 1, "new": 2}))
    screen.follow(Report("1", "myapp", "arrived", {"done": 2, "total": 4}))
    assert out.getvalue().rsplit("\r", 1)[-1].startswith("myapp  2/4 workers  |")
