"""What a dry run tells before anything is touched."""

from __future__ import annotations

from typing import Any

import pytest

from supervisor_roll.ctl.render import dry_run
from supervisor_roll.rollout.reports import Plan
from supervisor_roll.wire.mailbox import Report

FACTS: dict[str, Any] = {
    "workers": 4,
    "desired": 4,
    "ready": 4,
    "max_surge": 1,
    "max_unavailable": 0,
    "strategy": "workers",
    "boot_secs": 3.05,
    "estimated_secs": 12.2,
    "health": "/_status",
    "preflight": {"ok": True, "secs": 1.94, "text": ""},
    "memory": {
        "per_worker_bytes": 1,
        "extra_bytes": 1,
        "available_bytes": 2,
        "fits": True,
        "text": "1 more worker of about 85 MiB: 120 MiB free (this machine)",
    },
}
WHY = "ModuleNotFoundError: No module named 'nosuch'\n  File \"app.py\", line 1\n    import nosuch"


def plan(facts: dict[str, Any]) -> Plan:
    found = Report("1", "myapp", Plan.kind, facts).content
    assert isinstance(found, Plan)
    return found


def plan_texts(facts: dict[str, Any]) -> list[str]:
    return dry_run.plan_texts(plan(facts))


def plan_objects(facts: dict[str, Any]) -> bool:
    return dry_run.plan_objects(plan(facts))


def line(about: str, **changes: Any) -> str:
    [found] = [text for text in plan_texts({**FACTS, **changes}) if text.startswith(f"    {about}")]
    return found.strip()


def test_it_says_what_would_be_done_and_what_it_costs() -> None:
    assert plan_texts(FACTS) == [
        "would replace 4 workers, 1 at a time: the new one starts and must be ready before an old"
        " one stops",
        "    serving    never fewer than 4 ready, never more than 5 running",
        "    health     each new worker must answer /_status before it takes a request",
        "    duration   about 12 s, at 3.05 s a boot and not counting requests that last",
        "    memory     1 more worker of about 85 MiB: 120 MiB free (this machine)",
        "    preflight  the application loads (1.94 s)",
        "    nothing was replaced, its command was run once for the preflight;"
        " to do it, run rollrestart without --dry-run",
    ]
    assert not plan_objects(FACTS)


@pytest.mark.parametrize(
    ("surge", "unavailable", "says", "serving"),
    [
        (
            2,
            0,
            "the first alone, then up to 2 at a time: new ones start and must be ready before"
            " old ones stop",
            "never fewer than 4 ready, never more than 6 running",
        ),
        (
            0,
            1,
            "1 at a time, in place: an old one stops before the new one starts",
            "never fewer than 3 ready, never more than 4 running",
        ),
        (
            1,
            2,
            "with up to 1 more than now, and up to 2 stopped before the replacement is ready",
            "never fewer than 2 ready, never more than 5 running",
        ),
    ],
)
def test_the_budget_is_told_in_words(surge: int, unavailable: int, says: str, serving: str) -> None:
    facts = {"max_surge": surge, "max_unavailable": unavailable}
    assert plan_texts({**FACTS, **facts})[0] == f"would replace 4 workers, {says}"
    assert line("serving", **facts) == f"serving    {serving}"


def test_too_few_ready_is_told() -> None:
    assert line("serving", ready=3).endswith("; only 3 of 4 ready now")


def test_without_a_health_check_it_says_what_ready_means() -> None:
    assert "a worker counts as ready once it accepts" in line("health", health="")


def test_an_unknown_boot_is_no_promise() -> None:
    assert line("duration", boot_secs=0, estimated_secs=0).startswith("duration   not known")


def test_limited_processes_are_told_and_what_to_do() -> None:
    processes = {"text": "4 more processes and threads: 3 are left (cgroup /a)", "fits": False}
    texts = plan_texts({**FACTS, "processes": processes})
    at = texts.index("    processes  4 more processes and threads: 3 are left (cgroup /a)")
    assert texts[at + 1].strip() == (
        "THIS DOES NOT FIT: raise the limit, or roll in place with --max-surge 0 "
        "--max-unavailable 1"
    )
    assert not any("processes " in one for one in plan_texts({**FACTS, "processes": None}))


def test_too_little_memory_says_what_to_do() -> None:
    texts = plan_texts({**FACTS, "memory": {**FACTS["memory"], "fits": False}})
    [index] = [index for index, text in enumerate(texts) if "DOES NOT FIT" in text]
    assert texts[index - 1].startswith("    memory ")
    assert "--max-surge 0 --max-unavailable 1" in texts[index]


def test_a_failed_preflight_says_why_and_what_would_come_of_it() -> None:
    facts = {**FACTS, "preflight": {"ok": False, "secs": 1.0, "text": WHY}}
    assert plan_texts(facts)[-4:] == [
        "    preflight  THE APPLICATION DOES NOT LOAD: ModuleNotFoundError: No module named"
        " 'nosuch'",
        '          File "app.py", line 1',
        "            import nosuch",
        "    nothing was replaced, its command was run once for the preflight;"
        " as it is, the rollout would fail with its first worker",
    ]
    assert plan_objects(facts)


def test_without_a_preflight_nothing_of_the_program_was_run() -> None:
    assert plan_texts({**FACTS, "preflight": None})[-2:] == [
        "    preflight  not made: whether the application loads is not known",
        "    nothing was touched or run; to do it, run rollrestart without --dry-run",
    ]


def test_a_long_reason_keeps_its_end() -> None:
    text = "\n".join(["ValueError: no", *(f"line {n}" for n in range(50))])
    texts = plan_texts({**FACTS, "preflight": {"ok": False, "secs": 1.0, "text": text}})
    assert texts[-2].strip() == "line 49"
    assert len(texts) < 25


def test_what_was_not_found_out_is_not_claimed() -> None:
    facts = {**FACTS, "preflight": None, "memory": None}
    assert line("preflight", **facts).startswith("preflight  not made")
    assert line("memory", **facts) == "memory     not measured"
    assert not plan_objects(facts)


# --- strategy arbiter, and what has changed in the configuration --------------------------------

ARBITER: dict[str, Any] = {
    **FACTS,
    "strategy": "arbiter",
    "max_surge": 4,
    "estimated_secs": 3.05,
    "refused": "",
    "reasons": ["its configuration has changed: environment, user", "it has preload_app"],
    "changes": {"stopwaitsecs": "live", "environment": "arbiter", "user": "arbiter"},
}


def test_of_an_arbiter_it_says_why_and_what_each_changed_key_takes() -> None:
    assert plan_texts(ARBITER) == [
        "would replace the arbiter and its 4 workers: the new arbiter starts with all of its"
        " workers, and they must be ready before the old ones stop",
        "    strategy   arbiter: its configuration has changed: environment, user; it has"
        " preload_app",
        "    changes    environment   needs an arbiter rollout",
        "               stopwaitsecs  applies at once",
        "               user          needs an arbiter rollout",
        "    serving    never fewer than 4 ready, never more than 8 running",
        "    health     each new worker must answer /_status before it takes a request",
        "    duration   about 3.05 s, at 3.05 s a boot and not counting requests that last",
        "    memory     1 more worker of about 85 MiB: 120 MiB free (this machine)",
        "    preflight  the application loads (1.94 s)",
        "    nothing was replaced, its command was run once for the preflight;"
        " to do it, run rollrestart without --dry-run",
    ]
    assert not plan_objects(ARBITER)


@pytest.mark.parametrize(
    ("surge", "unavailable", "more", "serving"),
    [
        (1, 0, 1, "never fewer than 4 ready, never more than 5 running"),
        (0, 1, 1, "never fewer than 3 ready, never more than 5 running"),
        (3, 0, 3, "never fewer than 4 ready, never more than 7 running"),
    ],
)
def test_where_two_full_sets_do_not_fit_the_successor_grows(
    surge: int, unavailable: int, more: int, serving: str
) -> None:
    facts = {**ARBITER, "max_surge": surge, "max_unavailable": unavailable}
    assert plan_texts(facts)[0] == (
        "would replace the arbiter and its 4 workers step by step: the new arbiter grows as the"
        f" old one shrinks, with up to {more} more than now"
    )
    assert line("serving", **facts) == f"serving    {serving}"


def test_workers_alone_are_told_of_changes_that_they_do_not_take_up() -> None:
    facts = {**FACTS, "reasons": [], "changes": {"command": "arbiter", "priority": "live"}}
    assert plan_texts(facts)[0] == plan_texts(FACTS)[0]
    assert plan_texts(facts)[1:4] == [
        "    strategy   workers",
        "    changes    command   needs an arbiter rollout",
        "               priority  applies at once",
    ]


@pytest.mark.parametrize(
    ("effect", "says"),
    [
        ("live", "applies at once"),
        ("arbiter", "needs an arbiter rollout"),
        ("refused", "refused: only supervisorctl update applies it, with downtime"),
        ("of a later release", "of a later release"),
    ],
)
def test_each_effect_has_its_words(effect: str, says: str) -> None:
    assert line("changes", changes={"key": effect}) == f"changes    key  {says}"


def test_a_refusal_says_why_and_speaks_against_the_rollout() -> None:
    facts = {
        "strategy": "arbiter",
        "reasons": [],
        "changes": {"socket": "refused"},
        "refused": "its configuration has changed: socket; run supervisorctl update myapp",
    }
    assert plan_texts(facts) == [
        "would be refused: its configuration has changed: socket; run supervisorctl update myapp",
        "    strategy   arbiter",
        "    changes    socket  refused: only supervisorctl update applies it, with downtime",
        "    nothing was touched or run; as it is, rollrestart would be refused",
    ]
    assert plan_objects(facts)


def test_a_failed_preflight_of_an_arbiter_says_what_would_come_of_it() -> None:
    facts = {**ARBITER, "preflight": {"ok": False, "secs": 1.0, "text": WHY}}
    assert plan_texts(facts)[-1].endswith("the rollout would fail with its successor")
    assert plan_objects(facts)


@pytest.mark.parametrize(
    "facts",
    [
        {},
        {"reasons": "x", "changes": ["user"], "refused": 1, "strategy": 7, "max_surge": 10**400},
        {"strategy": "arbiter", "reasons": [1], "changes": {"user": 1}, "refused": None},
        {"strategy": "arbiter", "refused": "no", "changes": 3, "boot_secs": float("nan")},
        {"preflight": 3, "memory": [], "workers": "4", "health": 7, "boot_secs": None},
        {"preflight": {}, "memory": {}},
        {"preflight": {"ok": "yes", "text": 3}, "memory": {"text": 1}},
    ],
)
def test_a_strange_report_breaks_no_line(facts: dict[str, Any]) -> None:
    assert plan_texts(facts)[-1].startswith("    nothing was ")
