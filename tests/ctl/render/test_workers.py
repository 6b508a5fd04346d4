"""A row for each worker, those first of which one wants to know, within a bound."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from supervisor_roll.ctl.render.workers import worker_lines
from supervisor_roll.rollout.reports import WorkerLife

NOW = 1000.0


def worker(pid: int, state: str = "ready", **facts: object) -> WorkerLife:
    return WorkerLife(**{"pid": pid, "state": state, "began": NOW - pid, **facts})  # type: ignore[arg-type]


def test_what_needs_a_look_comes_first() -> None:
    lives = [
        worker(1, boot_secs=1.5, memory_bytes=85 * 2**20, release="v2", health="200 OK"),
        worker(3, boot_secs=1.25, outdated=True, release="v1"),
        worker(2, "booting"),
        worker(6, "draining", outdated=True),
        worker(4, "failed", gone_at=NOW - 1, how="exit status 3\nOops"),
        worker(7, "gone", gone_at=NOW),
        worker(5, "baking"),
    ]
    assert [line for line, _ in worker_lines({"myapp": lives}, NOW, 20)] == [
        "STATE     PID  AGE  MEMORY  BOOT    RELEASE  HEALTH",
        "failed    4    3 s                           exit status 3 ...",
        "booting   2    2 s",
        "baking    5    5 s",
        "draining  6    6 s",
        "outdated  3    3 s          1.25 s  v1",
        "ready     1    1 s  85 MiB  1.50 s  v2       200 OK",
    ]


def test_what_does_not_fit_is_counted() -> None:
    lives = [worker(100 + one) for one in range(60)]
    lives += [worker(one, outdated=True) for one in range(1, 4)] + [worker(9, "booting")]
    lines = [line for line, _ in worker_lines({"myapp": lives}, NOW, 5)]
    assert [line.split()[0] for line in lines[:-1]] == ["STATE", "booting", "outdated", "outdated"]
    assert lines[-1] == "and 61 more: 1 outdated, 60 ready"


def test_of_several_programs_each_is_named_and_no_text_moves_the_cursor() -> None:
    programs = {"a": [worker(1, health="\x1b[2J")], "b": [worker(2, release="[red]\r-")]}
    lines = [line for line, _ in worker_lines(programs, NOW, 9)]
    assert [line.split()[0] for line in lines] == ["PROGRAM", "a", "b"]
    assert lines[1].endswith("?[2J") and lines[2].endswith("[red]?-")


STATES = st.sampled_from(["booting", "ready", "baking", "draining", "failed", "gone", "other"])
LIVES = st.builds(WorkerLife, pid=st.integers(1, 9), state=STATES, outdated=st.booleans())


@given(st.dictionaries(st.text(max_size=3), st.lists(LIVES, max_size=9)), st.integers(-3, 9))
def test_there_are_never_more_lines_than_fit(programs: dict[str, list[WorkerLife]], most: int):
    assert len(worker_lines(programs, NOW, most)) <= max(most, 0)
