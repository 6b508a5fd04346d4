"""What the page is shown: all of it while somebody looks, and nothing if nobody does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from supervisor_roll.listener.edges.history_file import Entry, HistoryFile
from supervisor_roll.listener.page import page, rendering
from supervisor_roll.rollout.reports import Note, Past, Refused, WorkerLife
from supervisor_roll.rollout.words import COMPLETE, PROGRESSING, READY
from supervisor_roll.rpc.page.documents import WATCHING_SECS, Document, Documents
from supervisor_roll.wire.codec import to_json
from supervisor_roll.wire.mailbox import (
    IDLE,
    MAX_DOCUMENT_CHARS,
    STATUS,
    Report,
    Reports,
    Status,
)
from supervisor_roll.wire.messages import Ready
from tests.fakes.site import EPOCH, Site


class Browser:
    """Asks for documents as a browser does, by the clock of the site."""

    gone = False

    def __init__(self, site: Site) -> None:
        self._site = site
        self.documents = site.supervisord.mailbox.documents = Documents(
            lambda: site.coordinator.rung(), lambda: site.now
        )
        self.answers: list[bytes | None] = []
        self.number = 0

    def answer(self, document: Document) -> None:
        self.answers.append(document.data)
        self.number = document.number

    def get(self, name: str) -> Any:
        self.documents.ask(name, None, self)
        self._site.settle()
        self._site.pass_time(page.LEAST_SECS)
        return json.loads(self.answers[-1] or b"null")

    def program(self) -> Any:
        [program] = self.get(STATUS)["programs"]
        return program


def told(site: Site) -> list[dict[str, str]]:
    """The documents of each exchange since the last time."""
    found = [one.documents for one in site.supervisord.received if one.documents]
    site.supervisord.received.clear()
    return found


@pytest.fixture
def browser(site: Site) -> Browser:
    return Browser(site)


def test_nothing_is_rendered_unless_somebody_looks(site: Site, browser: Browser) -> None:
    site.ask("myapp")
    site.pass_time(30)
    assert told(site) == []
    assert site.coordinator.next_deadline() is None


def test_a_program_that_was_never_rolled_is_shown_with_its_workers(browser: Browser) -> None:
    found = browser.get(STATUS)
    [program] = found["programs"]
    assert (program["name"], program["process"]) == ("myapp", "RUNNING")
    status = program["status"]
    assert (status["state"], status["ready"], status["desired"]) == (IDLE, 2, 2)
    assert [one["state"] for one in program["workers"]] == [READY] * 2
    assert found["at"] == pytest.approx(EPOCH + 1010, abs=1)


def test_a_program_that_cannot_be_rolled_is_shown_with_the_reason(
    site: Site, browser: Browser
) -> None:
    assert browser.program()["resists"] == ""
    program = site.programs["myapp"]
    program.facts["reload"] = True
    program.say(max(program.workers), Ready)
    site.settle()
    site.pass_time(1)
    assert "reload" in browser.program()["resists"]


def test_a_rollout_is_followed_while_it_is_watched(site: Site, browser: Browser) -> None:
    browser.get(STATUS)
    program = site.programs["myapp"]
    program.busy = True
    site.ask("myapp", max_surge="1")
    site.pass_time(page.LEAST_SECS)
    assert browser.program()["status"]["state"] == PROGRESSING
    for _ in range(2):
        program.drained()
        site.settle()
        site.pass_time(1)
    shown = browser.program()
    assert (shown["status"]["state"], shown["status"]["done"]) == (COMPLETE, 2)
    assert [one["state"] for one in shown["workers"]] == [READY] * 2


def test_of_much_that_happens_at_once_it_is_told_four_times_a_second(
    site: Site, browser: Browser
) -> None:
    browser.get(STATUS)
    told(site)
    program = site.programs["myapp"]
    for number in range(100):
        program.say(max(program.workers), Ready, boot_secs=number / 10)
        site.settle()
        site.now += 0.01
    assert 1 <= len(told(site)) <= 1 / page.LEAST_SECS + 1


def test_it_ends_with_who_looked(site: Site, browser: Browser) -> None:
    browser.get(STATUS)
    assert site.coordinator.watched_at_rest() is None
    site.pass_time(3 * WATCHING_SECS)
    assert site.coordinator.next_deadline() is None
    assert site.coordinator.watched_at_rest() is not None
    told(site)
    site.pass_time(100)
    assert site.supervisord.received == []
    assert browser.program()["status"]["ready"] == 2


def test_a_poll_hears_of_what_changes_alone(site: Site, browser: Browser) -> None:
    browser.get(STATUS)
    answers = len(browser.answers)
    browser.documents.ask(STATUS, browser.number, browser)
    site.pass_time(6)
    assert len(browser.answers) == answers
    site.ask("myapp")
    site.pass_time(1)
    assert len(browser.answers) == answers + 1


def test_an_answer_of_supervisord_that_was_lost_costs_a_second(
    site: Site, browser: Browser
) -> None:
    site.supervisord.deaf_to.add("exchange")
    browser.documents.ask(STATUS, None, browser)
    site.settle()
    assert browser.answers == []
    site.supervisord.deaf_to.clear()
    site.pass_time(3)
    assert json.loads(browser.answers[-1] or b"")["programs"]


def test_another_listener_goes_on_with_it(site: Site, browser: Browser) -> None:
    browser.get(STATUS)
    site.restart()
    site.pass_time(1)
    site.ask("myapp")
    site.pass_time(5)
    assert browser.program()["status"]["state"] == COMPLETE


def test_the_history_is_what_rollhistory_answers(browser: Browser) -> None:
    for name in ("history", "rollouts/7"):
        [report] = browser.get(name)["reports"]
        assert report["kind"] == Refused.kind
        assert "no history is kept" in report["facts"]["why"]


def test_whatever_is_known_there_is_a_bound() -> None:
    life = WorkerLife(pid=1, how="x" * 300, release="\N{BOMB}" * 100, health="y" * 300)
    few = Status(READY, 0.0)
    many = {f"g{number}:{'n' * 200}": few for number in range(40)}
    text = rendering.status_text(many, lambda name: [life] * 2000, str, {}, "")
    assert len(text) < MAX_DOCUMENT_CHARS
    programs = json.loads(f"{{{text}}}")["programs"]
    assert len(programs) == 40 and len(programs[0]["workers"]) < 2000
    too_many = {f"{number}": Status(READY, 0.0, why="z" * 1000) for number in range(5000)}
    text = rendering.status_text(too_many, lambda name: [], str, {}, "")
    assert len(text) < MAX_DOCUMENT_CHARS and "too many" in text


def test_what_is_much_comes_in_turns(site: Site, tmp_path: Path) -> None:
    site.history = str(tmp_path / "history.sqlite")
    large = to_json(Reports([Report("j", "myapp", Note.kind, {"text": "x" * 700_000})]))
    entries = [Entry("myapp", to_json(Past()), large)] * 3
    HistoryFile(site.history).add(entries)
    site.restart()
    browser = Browser(site)
    for number in (1, 2, 3):
        browser.documents.ask(f"rollouts/{number}", None, browser)
    site.settle()
    told(site)
    assert len(browser.answers) <= 1
    site.pass_time(12)
    times = told(site)
    assert [len(one) for one in times] == [1] * len(times)
    assert len(browser.answers) == 3
    assert all(one and len(one) > 700_000 for one in browser.answers)
