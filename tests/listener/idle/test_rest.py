"""When the listener rests: only when nothing is under way, and nothing has come for long enough."""

from __future__ import annotations

import os
from contextlib import nullcontext
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from supervisor_roll.listener.edges.socket_store import HeldSockets, StoredSocket
from supervisor_roll.listener.idle.rest import IDLE_SECS, Rest, idle_secs
from supervisor_roll.listener.rollouts.socket_keeper import CRASHED_SECS
from supervisor_roll.rollout.events import InstanceId
from supervisor_roll.wire.mailbox import PAUSE
from supervisor_roll.wire.messages import Booting, Loaded, Ready
from tests.fakes.program import open_socket
from tests.fakes.site import PIDS, Site, ready_site
from tests.harness.descriptors import assert_none_left_open, open_descriptors


@pytest.mark.parametrize(
    ("text", "secs"), [(None, IDLE_SECS), ("", IDLE_SECS), ("0", 0.0), ("0.05", 0.05), ("600", 600)]
)
def test_how_long_is_configured(text: str | None, secs: float) -> None:
    assert idle_secs({} if text is None else {"SUPERVISOR_ROLL_IDLE_SECS": text}) == secs


@pytest.mark.parametrize("text", ["-1", "nan", "inf", "soon"])
def test_what_is_no_time_is_told(text: str, caplog: pytest.LogCaptureFixture) -> None:
    assert idle_secs({"SUPERVISOR_ROLL_IDLE_SECS": text}) == IDLE_SECS
    assert f"SUPERVISOR_ROLL_IDLE_SECS={text} is no number of seconds" in caplog.text


def test_it_rests_only_when_nothing_is_under_way() -> None:
    site, program = ready_site()
    site.pass_time(5)

    def rests() -> bool:
        return site.coordinator.watched_at_rest() is not None

    assert rests()
    program.boots = lambda age: (Booting, Loaded)
    site.ask("myapp")
    assert not rests()
    site.ask("myapp", kind=PAUSE)
    site.pass_time(5)
    assert not rests()
    site.restart()  # without a rollout to carry on it would rest
    site.settle()
    assert not rests()


def test_it_does_not_rest_while_a_command_runs_beside() -> None:
    site, _ = ready_site()
    site.pass_time(5)
    site.sides.running = True
    assert site.coordinator.watched_at_rest() is None
    site.sides.running = False
    assert site.coordinator.watched_at_rest() is not None


def test_all_is_saved_before_it_rests() -> None:
    site, _ = ready_site()
    site.pass_time(5)
    [arbiter] = site.coordinator.registry.arbiters.values()
    [first, *_] = arbiter.workers.values()
    first.release = "v7"  # and nobody has noted that it is to be saved
    assert site.coordinator.watched_at_rest() is not None
    site.restart()
    [arbiter] = site.coordinator.registry.arbiters.values()
    assert arbiter.workers[first.id].release == "v7"


def test_it_does_not_rest_with_what_is_not_said_yet() -> None:
    site, program = ready_site()
    site.pass_time(5)
    program.say(PIDS + 11, Ready)  # as one does whose answer was lost
    site.inbox.popleft()()
    assert site.coordinator.watched_at_rest() is None
    site.settle()
    assert site.coordinator.watched_at_rest() is not None
    site.supervisord.unreachable = True
    site.coordinator.rung()
    site.settle()
    assert site.coordinator.watched_at_rest() is None


def test_it_does_not_rest_while_sockets_of_one_that_crashed_are_kept(unix_site: Site) -> None:
    unix_site.pass_time(5)
    assert unix_site.coordinator.watched_at_rest() is not None
    unix_site.programs["myapp"].halt()
    unix_site.settle()
    assert unix_site.coordinator.watched_at_rest() is None
    unix_site.pass_time(CRASHED_SECS + 1)
    assert unix_site.coordinator.watched_at_rest() is not None


def test_sockets_of_arbiters_that_nothing_is_known_of_are_closed(unix_site: Site) -> None:
    before = open_descriptors()
    held = [
        replace(one, sockets=[replace(each, fd=os.dup(each.fd)) for each in one.sockets])
        for one in unix_site.coordinator.keeper.store.held
    ]
    unknown = HeldSockets(InstanceId(2, 3), "other", [StoredSocket("x", open_socket())])
    unix_site.close_listener()
    unix_site.coordinator = unix_site.make_coordinator()
    unix_site.coordinator.restore([*held, unknown])
    assert unix_site.coordinator.keeper.store.held == held
    assert_none_left_open(before)


def test_it_does_not_rest_while_a_load_balancer_asks_it() -> None:
    site, _ = ready_site()
    site.pass_time(5)
    readiness: Any = SimpleNamespace(handled=0, wrong="", silenced=lambda: nullcontext(False))
    agents: Any = SimpleNamespace(listens=True)
    table: Any = site.table
    rest = Rest(1e-9, PIDS, site.coordinator, readiness, table, agents)
    site.log.clear()
    rest.tick(reading=False)
    assert site.log == []
    agents.listens = False
    rest.tick(reading=False)
    assert site.log == ["exchange"]  # to save all, before
