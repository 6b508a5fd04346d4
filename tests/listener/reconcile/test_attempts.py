"""What was tried is remembered: a difference is rolled once, and failed ones are not repeated."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from supervisor_roll.listener.reconcile.operations import ADOPT, ROLL
from supervisor_roll.wire.codec import to_json
from tests.fakes.supervision import (
    AUTO,
    CHANGED,
    GREEN,
    RED,
    SETTLE_SECS,
    Supervision,
    said,
    started,
)

WEB = [(ROLL, "web")]


class Releases(Supervision):
    """One with a link to the current release."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        for name in ("v1", "v2", "v3"):
            (folder / name).mkdir()
        self.current = folder / "current"
        self.current.symlink_to("v1")
        self.watches = {**AUTO, "watch": str(self.current)}

    def web(self, **options: str) -> None:
        """web, which watches the link."""
        self.program("web", self.watches, **options)

    def flip(self, to: str) -> None:
        new = self.current.with_name("new")
        new.symlink_to(to)
        new.replace(self.current)


@pytest.fixture
def site(tmp_path: Path) -> Releases:
    site = Releases(tmp_path)
    site.web()
    site.program("api")
    return started(site)


# Watched paths


def test_a_link_that_is_flipped_rolls_its_program_once_it_is_still(site: Releases) -> None:
    site.flip("v2")
    assert site.passes(SETTLE_SECS) == []
    [turn] = site.settles()
    assert (turn.kind, turn.names, turn.reason) == (ROLL, ["web"], f"{site.current} has changed")
    site.end("web")
    assert site.settles() == []


def test_a_link_that_is_flipped_and_back_rolls_nothing(site: Releases) -> None:
    site.flip("v2")
    assert site.passes(SETTLE_SECS - 1) == []
    site.flip("v1")
    assert site.settles() == []


def test_a_rollback_is_rolled(site: Releases) -> None:
    for release in ("v2", "v1"):
        site.flip(release)
        assert said(site.settles()) == WEB
        site.end("web")


def test_one_deployment_is_one_rollout(site: Releases, tmp_path: Path) -> None:
    """A link, a file and the section, one after the other."""
    conf = site.write("gunicorn.conf.py", "")
    watch = {**AUTO, "watch": f"{site.current} {conf}"}
    site.program("web", watch)
    assert site.settles() == []
    site.flip("v2")
    assert site.passes(SETTLE_SECS - 0.5) == []
    conf.write_text("workers = 3\n")
    assert site.passes(SETTLE_SECS - 0.5) == []
    site.program("web", watch, environment=RED)
    [turn] = site.settles()
    assert turn.reason == (f"{CHANGED}; {site.current} has changed; {conf} has changed")
    site.end("web")
    assert site.settles() == []


def test_nothing_there_is_nothing_to_roll_to(site: Releases) -> None:
    site.current.unlink()
    assert site.settles() == []
    site.current.symlink_to("v1")
    assert site.settles() == []
    site.current.unlink()
    assert site.settles() == []
    site.current.symlink_to("v2")
    assert said(site.settles()) == WEB


def test_a_path_that_is_there_for_the_first_time_is_a_release(tmp_path: Path) -> None:
    site, touch = Supervision(tmp_path), tmp_path / "touch"
    site.program("web", {**AUTO, "watch": str(touch)})
    started(site)
    touch.write_text("")
    assert said(site.settles()) == WEB


def test_a_path_that_is_watched_from_now_on_is_as_it_is(site: Releases) -> None:
    other = site.write("other", "")
    site.program("web", {**AUTO, "watch": f"{site.current} {other}"})
    assert site.settles() == []
    other.write_text("new")
    assert said(site.settles()) == WEB


def test_all_running_processes_are_rolled(tmp_path: Path) -> None:
    site = Releases(tmp_path)
    site.web(numprocs="3", process_name="%(process_num)s")
    started(site)
    site.states["web:1"] = "FATAL"
    site.flip("v2")
    assert said(site.settles()) == [(ROLL, "web:0", "web:2")]
    site.end("web:0", "web:2")
    site.states["web:1"] = "RUNNING"
    assert said(site.settles()) == [(ROLL, "web:1")]


def test_a_path_says_nothing_without_auto(tmp_path: Path) -> None:
    site = Releases(tmp_path)
    site.program("web", {"watch": str(site.current)})
    started(site)
    site.flip("v2")
    assert site.settles() == []
    site.web()
    assert site.settles() == []


def test_auto_that_was_off_begins_anew(site: Releases) -> None:
    site.program("web", {})
    assert site.settles() == []
    site.flip("v2")
    assert site.settles() == []
    site.web()
    assert site.settles() == []


# Failures


def test_a_change_that_failed_is_tried_again_once_it_is_another(site: Releases) -> None:
    site.web(environment=RED)
    site.ended(site.settles(), ok=False)
    assert site.settles() == []
    site.program("api", environment=RED)  # another program's
    assert said(site.settles()) == [(ROLL, "api")]
    site.end("api")
    site.restart()
    assert site.settles() == []
    site.web(environment=GREEN)
    assert said(site.settles()) == WEB
    site.end("web")
    site.web(environment=RED)
    assert said(site.settles()) == WEB


def test_a_change_that_failed_may_be_taken_back_and_made_again(site: Releases) -> None:
    site.web(environment=RED)
    site.ended(site.settles(), ok=False)
    site.web()
    assert site.settles() == []
    site.web(environment=RED)
    assert said(site.settles()) == WEB


def test_what_a_wrong_section_held_up_is_rolled_once_that_is_mended(site: Releases) -> None:
    site.flip("v2")
    site.program("web", {**site.watches, "max_surge": "lots"})
    assert site.settles() == []
    site.restart()
    assert site.settles() == []
    site.web()
    assert said(site.settles()) == WEB


def test_a_wrong_section_does_not_make_what_failed_worth_another_try(site: Releases) -> None:
    site.web(environment=RED)
    turns = site.settles()
    site.program("web", {**site.watches, "max_surge": "lots"}, environment=RED)
    assert site.settles() == []
    site.ended(turns, ok=False)
    site.web(environment=RED)
    assert site.settles() == []
    site.web(environment=GREEN)
    assert said(site.settles()) == WEB


def test_a_release_that_failed_is_tried_again_once_it_is_another(site: Releases) -> None:
    site.flip("v2")
    site.ended(site.settles(), ok=False)
    assert site.settles() == []
    site.restart()
    assert site.settles() == []
    site.flip("v3")
    assert said(site.settles()) == WEB
    site.end("web")
    site.flip("v2")
    assert said(site.settles()) == WEB


def test_the_release_that_on_failure_puts_back_is_not_rolled_by_itself(site: Releases) -> None:
    site.flip("v2")
    turns = site.settles()
    site.flip("v1")
    site.ended(turns, ok=False)
    assert site.settles() == []
    site.flip("v2")  # deployed once more
    assert said(site.settles()) == WEB


def test_a_change_beside_what_failed_is_tried(site: Releases) -> None:
    site.flip("v2")
    site.ended(site.settles(), ok=False)
    site.web(environment=RED)
    assert said(site.settles()) == WEB


def test_a_turn_that_was_refused_at_once_counts_as_failed(site: Releases) -> None:
    site.flip("v2")
    site.web(environment=RED)
    turns = site.passes(5, begin=False)
    assert said(turns) == WEB
    site.ended(turns, ok=False)
    assert site.settles() == []
    site.flip("v3")
    assert said(site.settles()) == WEB


def test_what_changes_during_a_rollout_is_rolled_after_it(site: Releases) -> None:
    site.flip("v2")
    site.settles()
    site.flip("v3")
    site.web(environment=RED)
    assert site.settles() == []
    site.rolled.clear()
    site.reconciler.ended("web", True)  # which had begun before
    [turn] = site.settles()
    assert turn.reason == f"its configuration has changed: environment; {site.current} has changed"


def test_a_success_that_left_the_change_is_not_repeated(site: Releases) -> None:
    """An operator's rollout with strategy=workers does not apply it."""
    site.web(environment=RED)
    site.begin("web")
    site.rolled.clear()
    site.reconciler.ended("web", True)
    assert site.settles() == []
    site.restart()
    assert site.settles() == []
    site.web(environment=GREEN)
    assert said(site.settles()) == WEB


def test_a_success_leaves_nothing_to_remember_of_the_change(site: Releases) -> None:
    site.web(environment=RED)
    site.ended(site.settles())
    assert site.settles() == []
    assert site.reconciler.saved().tried["web"].digest == ""


# Who else rolls, and when not


def test_what_an_operator_rolls_is_rolled(site: Releases) -> None:
    site.flip("v2")
    site.web(environment=RED)
    site.begin("web")
    site.end("web")
    assert site.settles() == []


def test_what_failed_for_an_operator_has_failed(site: Releases) -> None:
    site.flip("v2")
    site.web(environment=RED)
    site.begin("web")
    site.end("web", ok=False)
    assert site.settles() == []


def test_an_operator_who_mends_it_ends_the_failure(site: Releases) -> None:
    site.flip("v2")
    site.ended(site.settles(), ok=False)
    site.begin("web")  # with more time, say
    site.end("web")
    assert site.settles() == []
    site.flip("v1")
    assert said(site.settles()) == WEB


def test_what_was_refused_to_an_operator_is_no_failure(site: Releases) -> None:
    site.reconciler.ended("web", False)
    site.flip("v2")
    assert said(site.settles()) == WEB


@pytest.mark.parametrize("state", ["STOPPED", "STARTING", "BACKOFF", "FATAL", ""])
def test_a_program_that_does_not_run_waits(site: Releases, state: str) -> None:
    site.states["web"] = state
    site.flip("v2")
    site.web(environment=RED)
    assert site.settles() == []
    site.restart()
    assert site.settles() == []
    site.states["web"] = "RUNNING"
    assert said(site.settles()) == WEB


def test_a_program_that_is_being_rolled_waits(site: Releases) -> None:
    site.web(environment=RED)
    site.rolled.add("web")
    assert site.settles() == []
    site.rolled.clear()
    assert said(site.passes(1)) == WEB


def test_what_somebody_else_has_applied_is_not_rolled(site: Releases) -> None:
    site.states["web"] = "STOPPED"
    site.web(environment=RED)
    assert site.settles() == []
    site.apply("web")
    site.states["web"] = "RUNNING"
    assert site.settles() == []


# A listener that starts


def test_what_changed_while_no_listener_ran_is_rolled(site: Releases) -> None:
    site.flip("v2")
    site.program("api", environment=RED)
    site.restart()
    assert site.passes(SETTLE_SECS - 1) == []
    assert said(site.settles()) == [(ROLL, "api"), *WEB]


def test_the_end_of_what_an_earlier_listener_began_is_known(site: Releases) -> None:
    site.flip("v2")
    turns = site.settles()
    site.flip("v3")
    site.restart()
    assert site.settles() == []
    site.ended(turns)
    [turn] = site.settles()
    site.end("web", ok=False)
    site.restart()
    assert said([turn]) == WEB
    assert site.settles() == []


def test_all_that_is_to_be_saved_is_said_to_be(site: Releases) -> None:
    def saved() -> str:
        return to_json(site.reconciler.saved())

    steps: list[tuple[Callable[[], object], bool]] = [
        (lambda: None, False),
        (lambda: site.flip("v2"), True),  # handed out, and begun
        (lambda: site.end("web", ok=False), True),
        (lambda: site.flip("v1"), True),  # the failure is forgotten
        (lambda: site.program("api", environment=RED), True),
        (lambda: site.end("api"), True),
        (lambda: site.program("web", {}), True),
        (lambda: site.write("conf.d/more.conf", "; nothing\n"), False),
    ]
    for number, (step, changes) in enumerate(steps):
        site.reconciler.unsaved, before = False, saved()
        step()
        site.settles()
        assert (number, site.reconciler.unsaved, saved() != before) == (number, changes, changes)
    assert "web" not in site.reconciler.saved().tried


@pytest.mark.parametrize(
    "rubbish",
    [
        None,
        [],
        "x",
        1,
        {"tried": 1, "resized": [], "groups": "x"},
        {
            "tried": {
                "web": None,
                "api": {
                    "digest": 1,
                    "rolled": ["x"],
                    "failed": {"x": 1},
                    "attempt": {"digest": None, "paths": 7},
                },
            },
            "resized": {"web": 3},
            "groups": {"web": [1, None]},
        },
        {"tried": {"web": {}}, "more": {}},
    ],
)
def test_what_cannot_be_used_of_what_was_saved_is_left(site: Releases, rubbish: object) -> None:
    site.restart()
    site.reconciler.restore(rubbish)
    assert site.settles() == []
    site.flip("v2")
    assert said(site.settles()) == WEB
    to_json(site.reconciler.saved())


def test_an_adoption_is_no_release(site: Releases) -> None:
    """The workers were not replaced: a path that has changed is still to be rolled."""
    site.flip("v2")
    site.web(stopwaitsecs="17")
    turns, _ = site.reconciler.update(["web"])
    assert said(turns) == [(ADOPT, "web")]
    site.ended(turns)
    assert said(site.settles()) == WEB
