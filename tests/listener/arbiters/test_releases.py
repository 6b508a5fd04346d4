"""What ``release=`` says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from supervisor_roll.listener.arbiters.arbiter import Arbiter, Worker
from supervisor_roll.listener.arbiters.releases import AT_ONCE, Releases, last_line, release_at
from supervisor_roll.listener.side_processes.process import Result
from supervisor_roll.rollout.events import InstanceId
from supervisor_roll.wire.messages import Booting
from supervisor_roll.wire.places import APP, CHDIR, Place


def test_a_link_says_its_targets_name_and_a_file_its_first_line(tmp_path: Path) -> None:
    (tmp_path / "current").symlink_to(tmp_path / "releases" / "v7")
    (tmp_path / "REVISION").write_text("  abc123 \nmore\n")
    assert release_at(str(tmp_path / "current")) == "v7"
    assert release_at(str(tmp_path / "REVISION")) == "abc123"


def test_anything_else_is_a_command(tmp_path: Path) -> None:
    assert release_at("git rev-parse HEAD") is None
    assert release_at(str(tmp_path)) is None
    assert last_line("fetching\n\nabc123\n\n") == "abc123"
    assert last_line("\n") == "?"


@pytest.mark.parametrize(
    ("cwd", "app", "shown"),
    [
        ("releases/v1", "releases/v1/app.py", "v1"),  # the link has moved since
        ("releases/v2", "releases/v2/app.py", "v2"),
        ("data", "releases/v1/src/app.py", "v1"),  # it runs elsewhere
        ("releases/v1", "releases/venv/lib/site-packages/app.py", "v1"),
        ("data", "lib/app.py", "v2"),  # in no release: all that is known is the link
    ],
)
def test_it_is_the_release_that_the_worker_is_in(
    tmp_path: Path, cwd: str, app: str, shown: str
) -> None:
    for name in ("v1", "v2"):
        (tmp_path / "releases" / name).mkdir(parents=True)
        (tmp_path / "releases" / name / "REVISION").write_text(f"{name}\n")
    (tmp_path / "current").symlink_to(tmp_path / "releases" / "v2")
    runs = [Place(CHDIR, "", str(tmp_path / cwd)), Place(APP, "", str(tmp_path / app))]
    assert release_at(str(tmp_path / "current"), runs) == shown
    assert release_at(str(tmp_path / "current" / "REVISION"), runs) == shown


class Sides:
    """What runs beside, by key: nothing ends by itself."""

    def __init__(self) -> None:
        self.running: list[str] = []

    def command(self, key: str, *arguments: object, **named: object) -> None:
        self.running.append(key)


def test_however_many_workers_a_program_has_a_few_commands_tell_their_releases_at_once() -> None:
    sides: Any = Sides()
    releases = Releases(sides, lambda namespec: None)
    workers = {}
    for name, first in (("many", 100), ("few", 200)):
        arbiter = Arbiter(InstanceId(first, 1), name)
        for pid in range(first + 1, first + 11):
            workers[f"release of {pid}"] = worker = Worker(InstanceId(pid, 1), 1)
            for _ in range(2):
                releases.told_by(arbiter, worker, "git describe", Booting())
    assert len(sides.running) == 2 * AT_ONCE
    while sides.running:
        key = sides.running.pop(0)
        assert releases.told(key, Result(ok=True, secs=1, output=key))
        assert len(sides.running) <= 2 * AT_ONCE
    assert {key: one.release for key, one in workers.items()} == {key: key for key in workers}
