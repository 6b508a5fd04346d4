"""A changed program is rolled by itself, once for each change, and nothing else is touched."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from supervisor_roll.listener.edges.file_watch import POLL_SECS, fingerprint
from supervisor_roll.listener.edges.supervisord import Unreachable
from supervisor_roll.listener.reconcile.operations import ADOPT, RESIZE, ROLL
from tests.fakes.supervision import (
    AUTO,
    BROKEN,
    CHANGED,
    GREEN,
    RED,
    REFUSED,
    SETTLE_SECS,
    STEP_SECS,
    Supervision,
    many,
    said,
    section,
    started,
)


@pytest.fixture
def site(tmp_path: Path) -> Supervision:
    """web and api are rolled by themselves, manual when it is asked for, redis is not ours."""
    site = Supervision(tmp_path)
    site.program("web")
    site.program("api")
    site.program("manual", roll={})
    site.program("redis", roll=None)
    return started(site)


# What has changed


def test_a_changed_program_is_rolled_alone_once_the_files_are_still(site: Supervision) -> None:
    for name, roll in (("web", AUTO), ("manual", {}), ("redis", None)):
        site.program(name, roll, environment=RED)
    assert site.passes(SETTLE_SECS) == []
    [turn] = site.passes(STEP_SECS)
    assert (turn.kind, turn.names, turn.reason) == (ROLL, ["web"], CHANGED)
    assert site.ticked == 1
    assert site.settles() == []
    site.end("web")
    assert site.settles() == []
    assert site.said == []


def test_files_that_go_on_changing_are_waited_for(site: Supervision) -> None:
    site.program("web", environment=RED)
    for number in range(6):
        assert site.passes(SETTLE_SECS - 0.5) == []
        site.write("supervisord.conf", site.path.read_text() + f"; {number}\n")
    assert said(site.settles()) == [(ROLL, "web")]


def test_each_program_waits_for_its_own_settle_secs(tmp_path: Path) -> None:
    site = Supervision(tmp_path)
    waits = {"web": "0", "api": "6"}
    for name, secs in waits.items():
        site.program(name, {**AUTO, "settle_secs": secs})
    site.start()
    assert site.passes(10) == []
    for name, secs in waits.items():
        site.program(name, {**AUTO, "settle_secs": secs}, environment=RED)
    assert said(site.passes(POLL_SECS)) == [(ROLL, "web")]
    assert site.passes(5) == []
    assert said(site.passes(1.5)) == [(ROLL, "api")]


def test_of_two_programs_in_one_file_only_the_changed_one_is_rolled(tmp_path: Path) -> None:
    site = Supervision(tmp_path)
    site.write("conf.d/both.conf", section("one") + section("two"))
    started(site)
    site.write("conf.d/both.conf", "; moved\n" + section("two", environment=RED) + section("one"))
    assert said(site.settles()) == [(ROLL, "two")]


@pytest.mark.parametrize("text", ["; said otherwise\n", "\n\n"])
def test_a_file_that_says_the_same_in_other_words_rolls_nothing(
    site: Supervision, text: str
) -> None:
    site.write("conf.d/web.conf", text + section("web"))
    assert site.settles() == []
    assert site.ticked == 1


def test_what_the_roll_section_says_is_no_change_of_the_program(site: Supervision) -> None:
    site.program("web", {**AUTO, "max_surge": "2"})
    assert site.settles() == []


def test_a_file_that_an_editor_puts_in_place_of_another_counts(site: Supervision) -> None:
    web = site.folder / "conf.d" / "web.conf"
    before = web.stat()
    new = site.write("web.new", section("web", environment=RED))
    new.write_text(web.read_text().replace("/bin/cat", "/bin/tac"))
    os.utime(new, ns=(before.st_atime_ns, before.st_mtime_ns))
    new.replace(web)
    assert (web.stat().st_size, web.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    assert [turn.reason for turn in site.settles()] == ["its configuration has changed: command"]


def test_included_files_that_come_and_go_count(site: Supervision) -> None:
    site.write("conf.d/web2.conf", section("web", None, environment=RED))
    turns = site.settles()
    assert said(turns) == [(ROLL, "web")]
    site.ended(turns)
    (site.folder / "conf.d" / "web2.conf").unlink()
    assert said(site.settles()) == [(ROLL, "web")]


def test_files_that_are_included_from_now_on_count(site: Supervision) -> None:
    site.write("more.ini", section("more"))
    site.write("supervisord.conf", site.path.read_text().replace("*.conf", "*.conf more.ini"))
    site.settles()
    site.apply("more")
    site.write("more.ini", section("more", environment=RED))
    assert said(site.settles()) == [(ROLL, "more")]


def test_new_and_removed_programs_are_left_to_the_operator(site: Supervision) -> None:
    site.program("new")
    (site.folder / "conf.d" / "api.conf").unlink()
    assert site.settles() == []
    assert site.said == []


def test_a_program_of_many_processes_is_one_turn_and_so_is_each_of_many(tmp_path: Path) -> None:
    site = Supervision(tmp_path)
    names = [f"p{number:02}" for number in range(30)]
    several = {"numprocs": "2", "process_name": "%(process_num)s"}
    for name in names:
        site.program(name, **several)
    started(site)
    for name in names:
        site.program(name, **several, environment=RED)
    assert said(site.settles()) == [(ROLL, f"{name}:0", f"{name}:1") for name in names]
    assert site.ticked == 1


# What takes no rollout, or something else


def test_changes_that_supervisord_heeds_at_once_are_adopted(site: Supervision) -> None:
    site.program("web", stopwaitsecs="17", autorestart="true")
    turns = site.settles()
    assert said(turns) == [(ADOPT, "web")]
    assert turns[0].reason == "its configuration has changed: autorestart, stopwaitsecs"
    site.ended(turns)
    assert site.settles() == []


def test_they_go_with_a_rollout_if_there_is_one(site: Supervision) -> None:
    site.program("web", stopwaitsecs="17", environment=RED)
    turns = site.settles()
    assert said(turns) == [(ROLL, "web")]
    assert turns[0].reason == CHANGED


def test_what_cannot_be_adopted_is_not_tried_again(site: Supervision) -> None:
    site.program("web", stopwaitsecs="17")
    site.ended(site.settles(), ok=False)
    assert site.settles() == []
    site.program("web", stopwaitsecs="18")
    assert said(site.settles()) == [(ADOPT, "web")]


def test_what_only_update_applies_is_said_once_and_not_rolled(tmp_path: Path) -> None:
    site = Supervision(tmp_path)

    def write(port: int, environment: str = GREEN) -> None:
        site.write(
            "conf.d/pool.conf",
            section(
                "pool",
                kind="fcgi-program",
                socket=f"tcp://localhost:{port}",
                environment=environment,
            ),
        )

    write(9000)
    started(site)
    write(9001)
    assert site.settles() == []
    assert site.said == [
        "pool has changed: socket; supervisord itself holds the socket of an [fcgi-program]: only "
        "supervisorctl update pool applies that, with its downtime"
    ]
    write(9002)
    assert site.settles() == []
    assert len(site.said) == 1
    write(9000, RED)
    assert said(site.settles()) == [(ROLL, "pool")]


def test_workers_alone_cannot_apply_it_where_the_section_says_so(site: Supervision) -> None:
    site.program("web", {**AUTO, "strategy": "workers"}, environment=RED)
    assert site.settles() == []
    assert site.said == [
        "web has changed: environment; replacing workers does not apply that, and "
        "its [roll:] section has strategy=workers"
    ]


# numprocs


@pytest.fixture
def many_site(tmp_path: Path) -> Supervision:
    site = Supervision(tmp_path)
    many(site, 2)
    return started(site)


def test_more_processes_are_started_before_the_changed_ones_are_rolled(
    many_site: Supervision,
) -> None:
    many(many_site, 3, environment=RED)
    turns = many_site.settles()
    assert said(turns) == [(RESIZE, "many"), (ROLL, "many:0", "many:1")]
    assert turns[0].reason == "its processes have changed: many:2 added"
    for turn in turns[1:]:
        many_site.ended([turn])
    assert many_site.settles() == []


def test_fewer_processes_are_stopped_once(many_site: Supervision) -> None:
    many(many_site, 1)
    assert said(many_site.settles()) == [(RESIZE, "many")]
    # It takes a while until they have gone.
    many_site.write("conf.d/other.conf", "; nothing\n")
    assert many_site.settles() == []
    many_site.restart()
    assert many_site.settles() == []
    many_site.apply("many")
    many(many_site, 2)
    assert said(many_site.settles()) == [(RESIZE, "many")]


def test_a_refused_resize_is_said_once(many_site: Supervision) -> None:
    many(many_site, 2, process_name="renamed_%(process_num)s")
    assert many_site.settles() == []
    [problem] = many_site.said
    assert problem.startswith("many: none of its processes keeps its name")


def test_a_group_is_not_resized_for_a_program_that_is_not_to_be_touched(
    many_site: Supervision,
) -> None:
    many(many_site, 3, roll={})
    assert many_site.settles() == []
    many(many_site, 3)
    many_site.states = dict.fromkeys(many_site.states, "STOPPED")
    assert many_site.settles() == []
    assert many_site.said == []


def test_who_owns_a_dropped_process_is_not_known_after_a_restart(tmp_path: Path) -> None:
    """So all of its group's programs must be ours."""
    site = Supervision(tmp_path)
    site.program("other", roll={})
    many(site, 2)
    site.write("conf.d/group.conf", "[group:site]\nprograms=many,other\n")
    started(site)
    site.restart()
    many(site, 1)
    assert site.settles() == []
    many(site, 2)
    site.settles()
    many(site, 1)
    assert said(site.settles()) == [(RESIZE, "site")]


# Files that are wrong


def test_a_file_that_is_half_written_for_a_moment_is_no_problem(site: Supervision) -> None:
    site.write("conf.d/web.conf", "[program:web")
    assert site.passes(SETTLE_SECS - 1) == []
    site.program("web", environment=RED)
    assert said(site.settles()) == [(ROLL, "web")]
    assert site.said == []


@pytest.mark.parametrize("line", [BROKEN, REFUSED])
def test_a_wrong_file_is_said_once_and_rolls_nothing(site: Supervision, line: str) -> None:
    current = site.write("current", "v1")
    site.program("api", {**AUTO, "watch": str(current)})
    site.settles()
    site.program("web", environment=RED)
    broken = site.write("conf.d/broken.conf", section("broken", None) + line)
    current.write_text("v2 is longer")
    assert site.settles() == []
    [problem] = site.said
    assert "broken.conf" in problem and "program:broken" in problem
    site.write("conf.d/another.conf", "; is no mending\n")
    site.passes(20)
    assert len(site.said) == 1
    broken.write_text(section("broken", None) + line.replace("=", "=not"))
    assert site.settles() == []
    assert len(site.said) == 2
    broken.unlink()
    assert said(site.settles()) == [(ROLL, "api"), (ROLL, "web")]
    broken.write_text(section("broken", None) + line.replace("=", "=not"))
    site.settles()
    assert len(site.said) == 3


def test_what_is_mended_without_touching_the_files_is_found_mended(site: Supervision) -> None:
    logs = site.folder / "logs"
    site.program("web", stdout_logfile=f"{logs}/web.log", environment=RED)
    assert site.settles() == []
    assert len(site.said) == 1 and "logs" in site.said[0]
    logs.mkdir()
    assert said(site.passes(12)) == [(ROLL, "web")]


def test_supervisord_is_not_asked_all_the_time_whether_a_file_is_mended(site: Supervision) -> None:
    site.write("conf.d/broken.conf", section("broken", None) + REFUSED)
    site.settles()
    before = site.rereads
    site.passes(30)
    assert site.rereads == before + 3


def test_what_mends_a_file_may_be_one_that_was_not_included_before(site: Supervision) -> None:
    (site.folder / "more.d").mkdir()
    site.write(
        "supervisord.conf",
        site.path.read_text().replace("*.conf", "*.conf more.d/*.conf")
        + "[group:both]\nprograms=web,more\n",
    )
    assert site.settles() == []
    assert len(site.said) == 1 and "unknown program" in site.said[0]
    site.write("more.d/more.conf", section("more"))
    site.program("api", environment=RED)
    assert said(site.settles()) == [(ROLL, "api")]


def test_a_listener_that_starts_with_a_wrong_file_takes_it_once_mended(tmp_path: Path) -> None:
    site = Supervision(tmp_path)
    site.program("web")
    site.start()
    good = site.path.read_text()
    site.path.write_text("[super")
    assert site.settles() == []
    assert len(site.said) == 1
    site.path.write_text(good)
    site.program("web", environment=RED)
    assert said(site.settles()) == [(ROLL, "web")]


def test_a_wrong_section_is_said_once_and_its_program_is_not_rolled(site: Supervision) -> None:
    site.program("web", {**AUTO, "max_surge": "lots"}, environment=RED)
    site.program("api", environment=RED)
    turns = site.settles()
    assert said(turns) == [(ROLL, "api")]
    site.ended(turns)
    assert site.settles() == []
    broken = site.write("conf.d/broken.conf", section("broken", None) + BROKEN)
    site.settles()
    broken.unlink()
    assert site.settles() == []
    assert len(site.said) == 2
    assert site.said[0].startswith(f"{site.folder}/conf.d/web.conf [roll:web]: max_surge=lots: ")
    assert "broken.conf" in site.said[1]
    site.program("web", environment=RED)
    assert said(site.settles()) == [(ROLL, "web")]


def test_a_supervisord_that_does_not_answer_costs_nothing(site: Supervision) -> None:
    site.program("web", environment=RED)
    site.reachable = False
    with pytest.raises(Unreachable):
        site.settles()
    site.reachable = True
    assert said(site.settles()) == [(ROLL, "web")]


# Looking


def test_an_idle_listener_does_not_wake(tmp_path: Path) -> None:
    site = Supervision(tmp_path)
    site.program("manual", roll={"watch": str(tmp_path / "current")})
    started(site)
    assert site.reconciler.next_deadline(site.now) is None
    assert site.rereads == 0
    site.program("manual", roll=AUTO, environment=RED)
    # Something else has woken it.
    assert said(site.settles()) == [(ROLL, "manual")]
    assert site.reconciler.next_deadline(site.now) == site.now + POLL_SECS


def test_it_looks_no_more_often_than_it_needs_to(site: Supervision) -> None:
    site.program("web", {**AUTO, "settle_secs": "0"}, environment=RED)
    due = site.reconciler.next_deadline(site.now)
    assert due is not None and site.now < due <= site.now + POLL_SECS
    assert site.reconciler.tick(due - 0.01) == []
    assert said(site.reconciler.tick(due)) == [(ROLL, "web")]


# What is left to look at


def test_at_rest_all_that_it_looks_at_is_known(site: Supervision, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to("nowhere")
    site.program("web", {**AUTO, "watch": str(link)})
    assert site.passes(STEP_SECS) == []
    assert site.reconciler.watched_at_rest(site.now) is None  # they have just changed
    assert site.settles() == []
    watched = site.reconciler.watched_at_rest(site.now)
    assert watched.look_secs == POLL_SECS
    folder = site.folder / "conf.d"
    files = {site.path, *folder.iterdir(), link}
    assert watched.files.keys() == {*map(str, files), f"{folder}/"}

    def changed() -> set[str]:
        return {path for path, one in watched.files.items() if fingerprint(path) != one}

    assert changed() == set()
    site.program("other")
    assert changed() == {f"{folder}/"}
    assert site.reconciler.watched_at_rest(site.now) is None
    link.unlink()
    link.symlink_to(folder)
    assert changed() == {f"{folder}/", str(link)}


def test_at_rest_with_nothing_automatic_the_configuration_is_looked_at(tmp_path: Path) -> None:
    site = Supervision(tmp_path)
    site.program("web", roll={})
    started(site)
    watched = site.reconciler.watched_at_rest(site.now)
    assert watched.look_secs is None
    assert str(site.path) in watched.files


def test_it_is_not_at_rest_while_its_files_are_bad(site: Supervision) -> None:
    for text in (BROKEN, REFUSED):
        site.write("conf.d/broken.conf", f"[program:broken]\ncommand=/bin/cat\n{text}")
        site.settles()
        assert site.reconciler.watched_at_rest(site.now) is None
        (site.folder / "conf.d" / "broken.conf").unlink()
        site.settles()
        assert site.reconciler.watched_at_rest(site.now) is not None
