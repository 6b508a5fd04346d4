"""rollhistory, as it reads."""

from __future__ import annotations

from supervisor_roll.ctl.render.history import history_table, one_rollout
from supervisor_roll.wire.mailbox import Report

AT = 1_800_000_000.0


def past(id: int, **facts: object) -> Report:
    found = {
        "id": id,
        "by": "supervisorctl rollrestart (ops@host, pid 7)",
        "verdict": "complete",
        "began": AT,
        "secs": 12.42,
        "replaced": 2,
        "total": 2,
        "strategy": "workers",
        "boot_p50_secs": 3.0,
        "boot_max_secs": 3.5,
        "release_before": "v1",
        "release_after": "v2",
    }
    return Report("1", "web", "past", {**found, **facts}, AT)


def test_a_table_has_why_below_what_is_not_complete() -> None:
    failed = past(
        10, verdict="failed", replaced=0, release_after="", why="worker 11 failed:\nOops\x1b[2J"
    )
    untouched = {"secs": 0.0, "replaced": 0, "total": 0, "strategy": "", "boot_max_secs": 0.0}
    refused = past(11, verdict="refused", why="no hook", **untouched)
    recycled = past(12, by="the listener", recycling=True, release_after="v1")
    by = "supervisorctl rollrestart (ops@host, pid 7)"
    assert history_table([past(9), failed, refused, recycled]) == [
        "NO  BEGAN                PROGRAM  VERDICT   REPLACED  TOOK    STRATEGY  BOOT P50/MAX"
        "  RELEASE   ASKED BY",
        "9   2027-01-15 08:00:00  web      complete  2/2       12.4 s  workers   3.00/3.50 s "
        f"  v1 -> v2  {by}",
        "10  2027-01-15 08:00:00  web      failed    0/2       12.4 s  workers   3.00/3.50 s "
        f"  v1        {by}",
        "    worker 11 failed: ...",
        "11  2027-01-15 08:00:00  web      refused                                           "
        f"  v1 -> v2  {by}",
        "    no hook",
        "12  2027-01-15 08:00:00  web      complete  2/2       12.4 s  workers   3.00/3.50 s "
        "  v1        the listener: recycled",
    ]


def test_one_is_shown_with_each_line_at_its_time() -> None:
    facts = {"why": "worker 11 failed:\nOops"}
    told = [
        Report("1", "web", "replaced", {"old": 1, "new": 11, "done": 1, "total": 2}, AT + 3),
        Report("1", "web", "broken", facts, AT + 5),
        Report("1", "web", "failed", {**facts, "secs": 8.0, "total": 2, "outdated": [2]}, AT + 8),
    ]
    assert one_rollout(past(10, verdict="failed", replaced=1, why=facts["why"]), told) == [
        "web: failed",
        "  began     2027-01-15 08:00:00",
        "  asked by  supervisorctl rollrestart (ops@host, pid 7)",
        "  replaced  1/2 in 12.4 s, strategy workers",
        "  release   v1 -> v2",
        "  boots     3.00 s at the median, 3.50 s at most",
        "  why       worker 11 failed:",
        "      Oops",
        "",
        "08:00:03  web: 1/2  worker 1 -> 11  booted in 0.00 s",
        "08:00:05  web: FAILING: worker 11 failed:",
        "              Oops",
        "08:00:08  web: failed: 0 of 2 workers replaced in 8.0 s; still serving: 1 worker"
        " (1 outdated, 0 fresh)",
        "              nothing changed for your clients; once the cause is repaired, run"
        " rollrestart again",
    ]


def test_below_it_is_how_each_worker_lived() -> None:
    def life(pid: int, **facts: object) -> Report:
        return Report("1", "web", "worker", {"pid": pid, "release": "v2", **facts}, AT + 8)

    lines = one_rollout(
        past(10),
        [
            Report("1", "web", "note", {"text": "a note"}, AT),
            life(12, began=AT + 1, ready_at=AT + 2.5, state="ready"),
            life(13, began=AT + 3, gone_at=AT + 4, state="failed", how="no module\nnamed \x1b[2J"),
            life(
                11,
                began=AT - 100,
                ready_at=AT - 99,
                retiring_at=AT + 3,
                gone_at=AT + 3.2,
                outdated=True,
                state="gone",
                release="v1",
            ),
        ],
    )
    assert lines[lines.index("") + 1 :] == [
        "08:00:00  web: a note",
        "",
        "WORKER  IS        RELEASE  BEGAN                BOOT   SERVED  DRAIN  STATE",
        "11      outdated  v1       2027-01-15 07:58:20  1.0 s  102 s   0.2 s  gone",
        "12      fresh     v2       2027-01-15 08:00:01  1.5 s  5.5 s          ready",
        "13      fresh     v2       2027-01-15 08:00:03  1.0 s                 failed:"
        " no module ...",
    ]
