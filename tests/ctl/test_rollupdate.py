"""rollupdate as an operator runs it: what is rolled comes out while the job goes on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from types import SimpleNamespace
from typing import Any
from xmlrpc.client import Fault

import pytest
from supervisor.xmlrpc import Faults

from supervisor_roll.ctl.plugin import RollPlugin
from tests.ctl.script import BEGAN, COMPLETE_OUTPUT, complete
from tests.rpc.supervised import Supervised, wait_for

SECTIONLESS = "redis: has no [roll:redis] section, and has changed: supervisorctl update redis"


def note(program: str, text: str) -> list[Any]:
    return ["report", program, "note", {"text": text}]


def refused(program: str, why: str) -> list[Any]:
    return ["report", program, "refused", {"why": why}]


def skipped(program: str, why: str = "its configuration has not changed") -> list[Any]:
    return ["report", program, "skipped", {"why": why}]


def test_it_rolls_what_has_changed_and_says_what_is_left(site: Supervised) -> None:
    site.script(note("", SECTIONLESS), *complete("myapp"), ["done"])
    assert site.ctl("rollupdate") == (0, f"{SECTIONLESS}\n" + COMPLETE_OUTPUT.format("myapp"))
    [request] = site.requests
    assert (request["kind"], request["values"]) == ("update", {})
    assert request["by"].startswith("supervisorctl rollupdate (")


def test_with_names_it_is_asked_for_these(site: Supervised) -> None:
    site.script(*complete("web:two"), *complete("myapp"), ["done"])
    assert site.ctl("rollupdate", "web:two", "myapp") == (
        0,
        (
            COMPLETE_OUTPUT.format("web:two")
            + COMPLETE_OUTPUT.format("myapp")
            + "2 programs: 2 complete\n"
        ),
    )
    assert site.requests[0]["programs"] == ["web:two", "myapp"]


@pytest.mark.parametrize(
    ("steps", "says"),
    [
        ([], "no changes\n"),
        ([skipped("myapp")], "myapp: skipped: its configuration has not changed\nno changes\n"),
        ([note("", SECTIONLESS)], f"{SECTIONLESS}\nnothing was rolled\n"),
        (
            [note("myapp", "now in effect: stopwaitsecs")],
            "myapp: now in effect: stopwaitsecs\nnothing was rolled\n",
        ),
        ([["report", "myapp", "invented", {}]], "myapp: invented {}\nnothing was rolled\n"),
    ],
)
def test_nothing_to_do_is_no_error(site: Supervised, steps: list[Any], says: str) -> None:
    site.script(*steps, ["done"])
    assert site.ctl("rollupdate") == (0, says)


@pytest.mark.parametrize(
    ("steps", "says"),
    [
        (
            [refused("", "configuration is invalid: /etc/s.conf: no = in line 3")],
            "refused, nothing was touched: configuration is invalid: /etc/s.conf: no = in line 3\n",
        ),
        (
            [*complete("myapp"), refused("web:one", "it is being rolled already")],
            COMPLETE_OUTPUT.format("myapp")
            + "web:one: refused, nothing was touched: it is being rolled"
            " already\n2 programs: 1 complete, 1 refused\n",
        ),
        (
            [["report", "myapp", "began", BEGAN]],
            "myapp: rolling 2 workers (surge 1, unavailable 0)\n"
            "myapp: the listener ended this rollout"
            " without reporting an outcome: see rollstatus and the listener's log\n",
        ),
        (
            [["report", "myapp", "failed", {"why": "Oops"}], skipped("web:one", "not rolled")],
            "myapp: failed: Oops\nweb:one: skipped: not rolled\n2 programs: 1 failed, 1 skipped\n",
        ),
    ],
)
def test_what_went_wrong_is_an_error(site: Supervised, steps: list[Any], says: str) -> None:
    site.script(*steps, ["done"])
    assert site.ctl("rollupdate") == (1, says)


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (["rollupdate", "--dry-run"], 2, "unrecognized arguments: --dry-run"),
        (["rollupdate", "--help"], 0, "rollupdate [options]"),
        (["help", "rollupdate"], 0, "nothing had to be done"),
    ],
)
def test_what_cannot_be_done_is_said(
    site: Supervised, arguments: list[str], status: int, says: str
) -> None:
    site.script()
    got, output = site.ctl(*arguments)
    assert (got, says in output) == (status, True), output
    assert site.requests == []


def test_no_wait_only_requests_and_it_can_be_followed_to_its_end(site: Supervised) -> None:
    site.script(
        ["report", "myapp", "began", BEGAN],
        ["until", "update-1"],
        *complete("myapp")[1:],
        note("", SECTIONLESS),
        ["done"],
    )
    assert site.ctl("rollupdate", "--no-wait") == (
        0,
        "all: update requested\nFollow with `rollstatus --follow`.\n",
    )
    follower = site.ctl_start("rollstatus", "--follow")
    follower.wait_says("rolling 2 workers")
    status, output = site.ctl("rollstatus")
    assert (status, "is under way, asked for by supervisorctl rollupdate (" in output) == (0, True)
    site.allow("update-1")
    follower.ends()
    assert follower.output == COMPLETE_OUTPUT.format("myapp") + f"{SECTIONLESS}\n"


def test_one_program_of_an_update_is_followed_to_its_own_end(site: Supervised) -> None:
    site.script(
        ["report", "myapp", "began", BEGAN],
        ["until", "update-2"],
        *complete("myapp")[1:],
        ["report", "web:one", "began", BEGAN],
        ["until", "update-3"],
        ["report", "web:one", "failed", {"why": "Oops"}],
        ["done"],
    )
    assert site.ctl("rollupdate", "--no-wait", "myapp", "web:one") == (
        0,
        (
            "myapp: update requested\nweb:one: update requested\n"
            "Follow with `rollstatus --follow myapp web:one`.\n"
        ),
    )
    follower = site.ctl_start("rollstatus", "--follow", "myapp")
    follower.wait_says("rolling 2 workers")
    site.allow("update-2")
    follower.ends()
    assert follower.output == COMPLETE_OUTPUT.format("myapp")
    site.allow("update-3")
    wait_for(lambda: "is under way" not in site.ctl("rollstatus")[1])


def test_ctrl_c_detaches_and_rollabort_knows_what_is_being_rolled(site: Supervised) -> None:
    site.script(
        ["status", "myapp", {"state": "progressing", "since": 1e9}],
        ["report", "myapp", "began", BEGAN],
        ["until", "update-4"],
        ["status", "myapp", {"state": "complete", "since": 1e9, "ended": 1e9 + 1}],
        *complete("myapp")[1:],
        ["done"],
    )
    update = site.ctl_start("rollupdate")
    update.wait_says("rolling 2 workers")
    update.interrupt()
    update.ends(130)
    assert update.output.splitlines()[-1] == (
        "Detached; the rollout goes on. Follow it with `rollstatus --follow`, abort it with"
        " `rollabort all`."
    )
    assert site.ctl("rollabort", "myapp", "web:one") == (
        1,
        "myapp: aborting\nweb:one: it is not being rolled\n",
    )
    site.allow("update-4")
    wait_for(lambda: "is under way" not in site.ctl("rollstatus")[1])


class EarlierSupervisord:
    """supervisorctl's controller, of a supervisord that was started before there were updates."""

    exitstatus = 0

    def __init__(self) -> None:
        self.stdout = StringIO()

    def upcheck(self) -> bool:
        return True

    @contextmanager
    def get_server_proxy(self) -> Iterator[Any]:
        yield SimpleNamespace(roll=self)

    def request(self, text: str) -> str:
        raise Fault(Faults.BAD_ARGUMENTS, "BAD_ARGUMENTS: kind 'update' is none of rollout, abort")

    def set_exitstatus_from_xmlrpc_fault(self, code: int) -> None:
        self.exitstatus = 1


def test_a_supervisord_of_an_earlier_release_is_to_be_restarted() -> None:
    controller = EarlierSupervisord()
    RollPlugin(controller).do_rollupdate("")
    assert (controller.exitstatus, controller.stdout.getvalue()) == (
        1,
        (
            "error: kind 'update' is none of rollout, abort; if supervisord runs an earlier "
            "version of"
            " supervisor_roll, restart it once\n"
        ),
    )
