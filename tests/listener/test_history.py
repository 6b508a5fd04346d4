"""What is kept of rollouts that have ended, and what happens where it cannot be."""

from __future__ import annotations

import contextlib
import json
import logging
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from supervisor_roll.listener import history
from supervisor_roll.wire import mailbox as wire
from supervisor_roll.wire.messages import Booting, Failed, Loaded, Ready
from tests.fakes.program import Program
from tests.fakes.site import EPOCH, Site, ready_site


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "history.sqlite"


@pytest.fixture
def rolled(path: Path) -> tuple[Site, Program]:
    site, program = ready_site(2)
    with_history(site, path)
    return site, program


def with_history(site: Site, path: Path) -> None:
    site.history = str(path)
    site.restart()
    site.settle()


def asked(site: Site, *names: str) -> list[tuple[str, dict[str, Any]]]:
    """The kinds of what is answered to rollhistory, with their facts."""
    job = site.ask(*names or ("all",), kind=wire.HISTORY)
    reports, done = site.found(job)
    assert done
    return [(one.kind, one.facts) for one in reports]


def past(site: Site, *names: str) -> list[dict[str, Any]]:
    answer = asked(site, *names)
    assert {kind for kind, _ in answer} <= {"past"}
    return [facts for _, facts in answer]


def test_a_rollout_is_kept_with_all_that_was_reported(rolled: tuple[Site, Program]) -> None:
    site, _ = rolled
    at = EPOCH + site.now
    job = site.ask("myapp")
    told = site.reports(job)
    [one] = past(site)
    outcome = site.facts(job, "complete")
    assert one == {
        "id": 1,
        "job": job,
        "by": "the operator",
        "recycling": False,
        "strategy": "workers",
        "verdict": "complete",
        "why": "",
        "began": at,
        "secs": outcome["secs"],
        "replaced": 2,
        "total": 2,
        "boot_p50_secs": 1.5,
        "boot_max_secs": 1.5,
        "release_before": "",
        "release_after": "",
    }
    (kind, first), *reports, old, _, new, _ = asked(site, "1")
    assert (kind, first) == ("past", one)
    assert {old[0], new[0]} == {"worker"}
    assert [("myapp", kind) for kind, _ in reports] == told
    assert reports[-1][1] == outcome


def test_what_failed_or_was_refused_is_kept_and_a_dry_run_is_not(
    rolled: tuple[Site, Program],
) -> None:
    site, program = rolled
    program.boots = lambda age: (Booting, Failed)
    site.ask("myapp")
    site.pass_time(200)
    site.ask("myapp", kind=wire.DRY_RUN, preflight="false")
    site.ask("other")
    failed, refused = past(site)
    assert (failed["verdict"], failed["replaced"], failed["total"]) == ("failed", 0, 2)
    assert "failed" in failed["why"]
    assert (refused["verdict"], refused["strategy"], refused["total"]) == ("refused", "", 0)


def test_names_are_as_for_other_commands_and_of_programs_that_have_gone_too(
    rolled: tuple[Site, Program],
) -> None:
    site, _ = rolled
    site.start("web:a", 1, pid=70_000)
    site.settle()
    for program in ("myapp", "web:a"):
        site.ask(program)
    site.supervisord.infos.clear()
    for names, ids in (
        (("all",), [1, 2]),
        (("myapp",), [1]),
        (("web:*",), [2]),
        (("web",), [2]),
        (("web:a", "myapp"), [1, 2]),
        (("nobody",), []),
        (("3",), []),
    ):
        assert [one["id"] for one in past(site, *names)] == ids, names


def test_only_the_last_ones_are_shown(
    rolled: tuple[Site, Program], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "SHOWN", 2)
    site, _ = rolled
    for _ in range(3):
        site.ask("myapp")
    assert [one["id"] for one in past(site)] == [2, 3]


def test_so_many_as_are_asked_for_are_shown(
    rolled: tuple[Site, Program], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "SHOWN", 2)
    monkeypatch.setattr(history, "MOST_SHOWN", 4)
    site, _ = rolled
    for _ in range(5):
        site.ask("myapp")
    for last, ids in ((1, [5]), (3, [3, 4, 5]), (1000, [2, 3, 4, 5])):
        reports, _ = site.found(site.ask("all", kind=wire.HISTORY, last=last))
        assert [one.facts["id"] for one in reports] == ids


def test_what_was_reported_before_the_listener_was_killed_is_there_too(
    rolled: tuple[Site, Program],
) -> None:
    site, program = rolled
    program.boots = lambda age: () if age == 4 else (Booting, Loaded, Ready)
    job = site.ask("myapp")
    assert site.reports(job)[-1] == ("myapp", "replaced")
    site.restart()
    site.settle()
    for kind in (Booting, Loaded, Ready):
        program.say(max(program.workers), kind)
    site.settle()
    assert site.is_done(job)
    (_, one), *reports = [one for one in asked(site, "1") if one[0] != "worker"]
    assert one["boot_max_secs"] > 0
    assert [("myapp", kind) for kind, _ in reports] == site.reports(job)


def test_a_rollout_goes_on_where_nothing_can_be_kept_and_it_is_kept_later(
    rolled: tuple[Site, Program], path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    site, _ = rolled
    path.mkdir()
    for _ in range(3):
        assert site.is_done(site.ask("myapp"))
    warnings = [one for one in caplog.records if one.levelno == logging.WARNING]
    assert len([one for one in warnings if "the history of rollouts is not kept" in one.msg]) == 1
    assert [kind for kind, _ in asked(site)] == ["warning", "refused"]
    path.rmdir()
    assert [one["id"] for one in past(site)] == [1, 2, 3]


def test_what_waits_for_the_file_is_bounded(
    rolled: tuple[Site, Program], path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "MAX_WAITING", 2)
    site, _ = rolled
    path.mkdir()
    jobs = [site.ask("myapp") for _ in range(4)]
    path.rmdir()
    assert [one["job"] for one in past(site)] == jobs[2:]


def test_who_locks_the_file_holds_nothing_up(rolled: tuple[Site, Program], path: Path) -> None:
    site, _ = rolled
    site.ask("myapp")
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        assert site.is_done(site.ask("myapp"))
    assert [one["id"] for one in past(site)] == [1, 2]


def test_it_is_written_after_each_worker_has_its_answer(
    rolled: tuple[Site, Program], monkeypatch: pytest.MonkeyPatch
) -> None:
    site, _ = rolled
    waiting: list[int] = []
    add = history.HistoryFile.add

    def look(self: history.HistoryFile, entries: list[Any]) -> None:
        waiting.append(len(site.coordinator.outbox.answers))
        add(self, entries)

    monkeypatch.setattr(history.HistoryFile, "add", look)
    site.ask("myapp")
    assert waiting == [0]


def test_texts_of_others_are_bounded_in_what_is_kept(
    rolled: tuple[Site, Program], path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "MOST_CHARS_OF_ONE", 2000)
    site, _ = rolled
    job = site.ask("myapp")
    with contextlib.closing(sqlite3.connect(path)) as database:
        [(text,)] = database.execute("SELECT reports FROM rollouts")
    assert len(text) <= 1000
    *kinds, last = [one["kind"] for one in json.loads(text)["reports"]]
    assert last == "worker"
    assert kinds == [kind for _, kind in site.reports(job)][-len(kinds) :]


def test_without_a_file_it_says_so_and_gathers_nothing() -> None:
    site, _ = ready_site(2)
    site.ask("myapp")
    [(kind, facts)] = asked(site)
    assert kind == "refused"
    assert facts["why"].startswith("no history is kept")


def test_nothing_is_gathered_of_what_has_ended(rolled: tuple[Site, Program]) -> None:
    site, _ = rolled
    for _ in range(3):
        site.ask("myapp")
    asked(site, "1")
    assert site.coordinator._history._told == {}
