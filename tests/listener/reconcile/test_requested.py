"""``rollupdate`` does at once what the configuration has changed, and says what it leaves."""

from __future__ import annotations

from pathlib import Path

import pytest

from supervisor_roll.listener.configuration.sections import BadConfiguration
from supervisor_roll.listener.edges.supervisord import Refused
from supervisor_roll.listener.reconcile.operations import (
    ADD,
    ADOPT,
    REMOVE,
    RESIZE,
    ROLL,
    Operation,
)
from tests.fakes.supervision import (
    AUTO,
    BROKEN,
    CHANGED,
    GREEN,
    RED,
    REFUSED,
    Supervision,
    many,
    said,
    section,
    started,
)


@pytest.fixture
def site(tmp_path: Path) -> Supervision:
    """web is rolled by itself, api and the two of site when asked, redis is not ours."""
    site = Supervision(tmp_path)
    site.program("web")
    site.program("redis", roll=None)
    for name in ("api", "one", "two"):
        site.program(name, roll={})
    site.write("conf.d/site.conf", "[group:site]\nprograms=one,two\n")
    return started(site)


def change(site: Supervision, environment: str = RED) -> None:
    site.program("web", environment=environment)
    site.program("redis", roll=None, environment=environment)
    for name in ("api", "one", "two"):
        site.program(name, roll={}, environment=environment)


def remove(site: Supervision, name: str) -> None:
    (site.folder / "conf.d" / f"{name}.conf").unlink()


LEFT = "redis has changed and has no [roll:redis] section: supervisorctl update redis"
ALL = {"api", "site:one", "site:two", "web"}


@pytest.mark.parametrize(
    ("names", "rolled", "left"),
    [
        (["all"], ALL, [LEFT]),
        (["web"], {"web"}, []),
        (["api", "web", "api"], {"api", "web"}, []),
        (["redis"], set(), [LEFT]),
        (["site:two"], {"site:two"}, []),
        (["two"], {"site:two"}, []),
        (["site"], {"site:one", "site:two"}, []),
        (["site:*"], {"site:one", "site:two"}, []),
        (["nobody", "web"], {"web"}, ["nobody: no such program, process or group is configured"]),
        (["site:three"], set(), ["site:three: no such program, process or group is configured"]),
        (["nobody", "all"], ALL, ["nobody: no such program, process or group is configured", LEFT]),
    ],
)
def test_those_that_are_named_are_rolled_at_once(
    site: Supervision, names: list[str], rolled: set[str], left: list[str]
) -> None:
    change(site)
    turns, texts = site.reconciler.update(names)
    assert {name for turn in turns for name in turn.names} == rolled
    assert {(turn.kind, turn.reason) for turn in turns} <= {(ROLL, CHANGED)}
    assert texts == left


def test_however_many_names_are_unknown_they_are_one_text(site: Supervision) -> None:
    assert site.reconciler.update(["x", "y", "z"]) == (
        [],
        ["x, y, z: no such program, process or group is configured"],
    )


def test_what_has_not_changed_is_not_touched(site: Supervision) -> None:
    assert site.reconciler.update(["all"]) == ([], [])
    assert site.reconciler.update(["web"]) == ([], [])


def test_what_has_failed_is_tried_again(site: Supervision) -> None:
    site.program("web", environment=RED)
    site.ended(site.settles(), ok=False)
    for _ in range(2):
        turns, _ = site.reconciler.update(["all"])
        assert said(turns) == [(ROLL, "web")]
        site.begin("web")
        site.end("web", ok=False)
        assert site.settles() == []


def test_what_it_rolls_is_not_rolled_by_itself_as_well(site: Supervision) -> None:
    site.program("web", environment=RED)
    site.reconciler.update(["all"])
    site.begin("web")
    assert site.settles() == []
    site.end("web")
    assert site.settles() == []


def test_a_rollout_that_was_refused_counts_as_failed(site: Supervision) -> None:
    site.program("web", environment=RED)
    site.ended(site.reconciler.update(["all"])[0], ok=False)
    assert site.settles() == []


def test_asked_during_a_rollout_it_does_not_mix_up_what_that_rolls(site: Supervision) -> None:
    current = site.write("current", "v1")
    site.program("web", {**AUTO, "watch": str(current)})
    site.settles()
    current.write_text("v2 is longer")
    assert said(site.settles()) == [(ROLL, "web")]
    current.write_text("v3 is longer still")
    site.program("web", {**AUTO, "watch": str(current)}, environment=RED)
    assert said(site.reconciler.update(["all"])[0]) == [(ROLL, "web")]
    site.reconciler.ended("web", False)  # refused
    site.end("web")
    [turn] = site.settles()
    assert turn.reason == f"{current} has changed"


def test_a_watched_path_plays_no_role(site: Supervision) -> None:
    current = site.write("current", "v1")
    site.program("web", {**AUTO, "watch": str(current)})
    site.settles()
    current.write_text("v2 is longer")
    assert site.reconciler.update(["all"]) == ([], [])


def test_live_changes_are_adopted(site: Supervision) -> None:
    site.program("api", roll={}, stopwaitsecs="17")
    assert said(site.reconciler.update(["all"])[0]) == [(ADOPT, "api")]


def test_what_does_not_run_is_left(site: Supervision) -> None:
    change(site)
    site.states["site:two"] = "STOPPED"
    turns, left = site.reconciler.update(["site"])
    assert said(turns) == [(ROLL, "site:one")]
    assert left == ["site:two has changed and does not run: supervisorctl update site"]


def test_what_cannot_be_rolled_is_left(site: Supervision) -> None:
    site.program("api", {"strategy": "workers"}, environment=RED)
    site.program("web", {"max_surge": "lots"}, environment=RED)
    site.program("one", {}, kind="fcgi-program", socket="tcp://localhost:9000")
    remove(site, "site")
    turns, left = site.reconciler.update(["api", "web"])
    assert turns == []
    assert left == [
        "api has changed: environment; replacing workers does not apply that, and its [roll:] "
        "section has strategy=workers",
        f"web has changed: {site.folder}/conf.d/web.conf [roll:web]: max_surge=lots: must be a "
        "count such as 1, or a percentage such as 25%",
    ]


@pytest.mark.parametrize(("line", "error"), [(BROKEN, BadConfiguration), (REFUSED, Refused)])
def test_a_wrong_file_is_an_error(site: Supervision, line: str, error: type[Exception]) -> None:
    change(site)
    site.write("conf.d/broken.conf", section("broken", None) + line)
    with pytest.raises(error):
        site.reconciler.update(["all"])
    remove(site, "broken")
    assert {name for turn in site.reconciler.update(["all"])[0] for name in turn.names} == ALL


# Groups


def test_a_changed_number_of_processes(site: Supervision) -> None:
    many(site, 2, {})
    site.apply("many")
    many(site, 3, {}, environment=RED)
    assert said(site.reconciler.update(["all"])[0]) == [
        (RESIZE, "many"),
        (ROLL, "many:0", "many:1"),
    ]
    assert said(site.reconciler.update(["many:0"])[0]) == [(ROLL, "many:0")]
    assert said(site.reconciler.update(["many:2"])[0]) == [(RESIZE, "many")]
    many(site, 1, {})
    assert said(site.reconciler.update(["many"])[0]) == [(RESIZE, "many")]
    many(site, 2, {}, process_name="renamed_%(process_num)s")
    turns, [left] = site.reconciler.update(["many"])
    assert turns == [] and left.startswith("many: none of its processes keeps its name")
    many(site, 3, None)
    assert site.reconciler.update(["many"]) == (
        [],
        ["many now has other processes and has no [roll:many] section: supervisorctl update many"],
    )


def test_a_new_group_is_added_if_all_of_it_is_ours(site: Supervision) -> None:
    site.program("new", roll={})
    site.program("other", roll=None)
    added = Operation(ADD, ["new"], "it is new")
    left = "other is new and has no [roll:other] section: supervisorctl update other"
    assert site.reconciler.update(["all"]) == ([added], [left])
    assert site.reconciler.update(["new"]) == ([added], [])
    site.write("conf.d/group.conf", "[group:both]\nprograms=new,other\n")
    assert site.reconciler.update(["new"]) == (
        [],
        ["both is new and has no [roll:other] section: supervisorctl update both"],
    )


def test_a_removed_group_is_removed_if_all_of_it_was_ours(site: Supervision) -> None:
    for name in ("api", "redis", "site", "one", "two"):
        remove(site, name)
    site.restart()
    left = "redis is no longer configured and had no [roll:] section: supervisorctl update redis"
    reason = "it is no longer configured"
    assert site.reconciler.update(["all"]) == (
        [Operation(REMOVE, ["api"], reason), Operation(REMOVE, ["site"], reason)],
        [left],
    )
    assert said(site.reconciler.update(["site:*"])[0]) == [(REMOVE, "site")]
    assert site.reconciler.update(["redis"]) == ([], [left])


def test_a_group_that_was_ours_in_part_is_left(site: Supervision) -> None:
    site.program("two", roll=None)
    site.settles()
    for name in ("site", "one", "two"):
        remove(site, name)
    [left] = site.reconciler.update(["site"])[1]
    assert left.startswith("site is no longer configured")


def test_a_program_that_moves_into_another_group_is_left(site: Supervision) -> None:
    """Its old processes and its new ones would want the same sockets."""
    site.write("conf.d/group.conf", "[group:apis]\nprograms=api\n")
    left = ["api moved from group api to apis: supervisorctl update api apis"]
    assert site.reconciler.update(["all"]) == ([], left)
    assert site.reconciler.update(["api"]) == ([], left)
    site.restart()
    assert site.reconciler.update(["all"]) == ([], left)


def test_what_is_gone_is_not_remembered_for_ever(site: Supervision) -> None:
    remove(site, "api")
    site.settles()
    assert "api" in site.reconciler.saved().groups
    del site.groups["api"]
    site.program("web", environment=GREEN)
    site.settles()
    assert "api" not in site.reconciler.saved().groups
