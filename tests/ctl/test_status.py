"""What rollstatus shows of all programs, also of those that were never rolled, and --watch."""

from __future__ import annotations

import itertools
import re
from contextlib import closing
from typing import Any, cast
from xmlrpc.client import Fault

import pytest

from supervisor_roll.ctl import status
from supervisor_roll.ctl.client import RollClient
from supervisor_roll.ctl.render.status import status_lines, status_table
from supervisor_roll.ctl.status import look
from supervisor_roll.rollout.reports import WorkerLife
from supervisor_roll.wire.mailbox import IDLE, Listener, Overview, Status
from supervisor_roll.wire.workers import Workers
from tests.ctl.script import BEGAN, complete
from tests.rpc.supervised import Supervised
from tests.terminal import Terminal

ROLLED = Status("complete", 1000.0, ended=1010.0, done=3, total=3, ready=3, desired=3)
LIVES = [
    WorkerLife(1, "ready", release="v1"),
    WorkerLife(2, "baking", release="v2"),
    WorkerLife(3, "booting"),
    WorkerLife(4, "draining", release="v1"),
    WorkerLife(5, "gone", gone_at=1.0),
]


class Answers:
    """supervisord's, of which the last one is given again and again."""

    def __init__(self, state: str, *workers: Workers | Fault) -> None:
        self.listener = Listener(7, state)
        self.left = list(workers)

    def overview(self) -> Overview:
        return Overview({"myapp": ROLLED}, self.listener)

    def workers(self, names: list[str]) -> Workers:
        assert names == [], "all programs'"
        answer = self.left.pop(0) if len(self.left) > 1 else self.left[0]
        if isinstance(answer, Fault):
            raise answer
        return answer


def looked(state: str, *workers: Workers | Fault) -> dict[str, Status]:
    return look(cast(RollClient, Answers(state, *workers))).programs


def test_what_was_never_rolled_is_known_by_its_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status, "_WORKERS_SECS", 60.0)
    resists = dict.fromkeys(("myapp", "web:a"), "it has reload: turn it off")
    told = Workers({"myapp": LIVES, "web:a": LIVES}, 1000.0, resists)
    found = looked("RUNNING", Workers(), told)
    assert found == {
        "myapp": ROLLED,
        "web:a": Status(
            IDLE,
            0.0,
            why="cannot be rolled: it has reload: turn it off",
            ready=2,
            desired=3,
            fresh=[1, 2, 3, 4],
            releases={"1": "v1", "2": "v2", "4": "v1"},
        ),
    }
    assert status_table(found, 1060.0) == [
        "PROGRAM  STATE         SINCE     REPLACED  READY  RELEASE         WHY",
        "myapp    complete      50 s ago  3/3       3/3",
        "web:a    never rolled                      2/3    v1 (2), v2 (1)  "
        "cannot be rolled: it has reload: turn it off",
    ]
    assert status_lines("web:a", found["web:a"], 1060.0) == [
        "web:a: never rolled",
        "  ready     2 of 3",
        "  workers   1 4 (v1), 2 (v2), 3",
        "  why       cannot be rolled: it has reload: turn it off",
    ]


@pytest.mark.parametrize(
    ("state", "workers"),
    [
        ("RUNNING", Workers()),  # it says nothing
        ("RUNNING", Fault(1, "UNKNOWN_METHOD")),  # of an earlier release
        ("EXITED", Workers({"web:a": LIVES}, 1.0)),
    ],
)
def test_where_no_listener_tells_of_workers_there_is_what_was_rolled(
    state: str, workers: Workers | Fault
) -> None:
    assert looked(state, workers) == {"myapp": ROLLED}


def rolled() -> list[list[Any]]:
    ended = {"state": "complete", "since": 1.0, "ended": 2.0, "done": 2, "total": 2}
    return [["status", "myapp", ended], *complete("myapp"), ["done"]]


def test_watch_draws_on_a_terminal_what_there_is_now(site: Supervised) -> None:
    site.script(*rolled())
    site.ctl("rollrestart", "myapp")
    with closing(Terminal(site.ctl_command("rollstatus", "--watch"), rows=6)) as shown:
        lines = shown.wait_shows("myapp    complete")
        assert lines[1].startswith("PROGRAM")
        site.script(
            ["status", "myapp", {"state": "progressing", "since": 1.0}],
            ["report", "myapp", "began", BEGAN],
            ["until", "watched"],
            ["status", "myapp", {"state": "failed", "since": 1.0, "ended": 2.0}],
            ["done"],
        )
        site.ctl("rollrestart", "--no-wait", "myapp")
        lines = shown.wait_shows("myapp    progressing")
        assert len([line for line in lines if line.startswith("PROGRAM")]) == 1
        site.allow("watched")
        shown.wait_shows("myapp    failed")
        shown.type("\x03")
        assert shown.wait_ends() == 130


def test_watch_prints_without_a_terminal_what_has_changed(site: Supervised) -> None:
    site.script(*rolled())
    site.ctl("rollrestart", "myapp")
    watch = site.ctl_start("rollstatus", "--watch", "myapp")
    watch.wait_says("myapp: complete")
    site.script(["status", "myapp", {"state": "failed", "since": 1.0, "ended": 2.0}], ["done"])
    site.ctl("rollrestart", "myapp")
    watch.wait_says("myapp: failed")
    watch.interrupt()
    watch.ends(130)
    # Each began and ended so long ago, which is no change.
    lines = [line for line in watch.output.splitlines() if "ago" not in line]
    tables = re.split(r"^\d{4}-.*$", "\n".join(lines), flags=re.MULTILINE)[1:]
    assert all(one != next for one, next in itertools.pairwise(tables))


def test_watch_and_follow_exclude_each_other(site: Supervised) -> None:
    code, output = site.ctl("rollstatus", "--watch", "--follow")
    assert (code, "not allowed with" in output) == (2, True)
