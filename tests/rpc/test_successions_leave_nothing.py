"""After any number of rounds supervisord has what it had before, and nothing more."""

from __future__ import annotations

import time
from collections.abc import Callable
from xmlrpc.client import Fault

import psutil

from tests.harness.waiting import patience
from tests.rpc.succeeding import PLAIN, UNCHANGED, Succeeding, descriptors, wait_executed
from tests.rpc.supervised import wait_for

Begin = Callable[..., Succeeding]
ROUNDS = 30
# They take 1 s on a machine that has nothing else to do. Until a forked child has executed
# its command, it has supervisord's signal handlers, and is deaf to what is to stop it.
MAX_SECS = 15.0
MYAPP = f"[program:myapp]\n{PLAIN}\n"


def holdings(site: Succeeding) -> dict[str, object]:
    """What may grow: descriptors, processes, log files."""
    supervisord = psutil.Process(site.server.supervisor.getPID())
    return {
        "descriptors": descriptors(supervisord.pid),
        "children": len(supervisord.children(recursive=True)),
        "processes": list(site.processes()),
        "files": sorted(path.name for path in site.folder.iterdir()),
    }


def replaced(site: Succeeding) -> None:
    wait_executed(site.replace().pid)


def assert_leaves_nothing(site: Succeeding, act: Callable[[int], None]) -> None:
    act(0)  # the first has to load a few things
    before, began = holdings(site), time.monotonic()
    for number in range(ROUNDS):
        act(number)
    assert time.monotonic() - began < MAX_SECS * patience()
    wait_for(lambda: holdings(site) == before)


def test_many_promotions(begin: Begin) -> None:
    site = begin(MYAPP)
    assert_leaves_nothing(site, lambda number: replaced(site))
    assert site.reload_config() == UNCHANGED


def test_many_promotions_with_changed_log_settings(begin: Begin) -> None:
    site = begin(MYAPP)

    def act(number: int) -> None:
        site.change(MYAPP + f"stdout_logfile_maxbytes={number % 3}MB\nenvironment=ROUND={number}\n")
        replaced(site)

    assert_leaves_nothing(site, act)
    assert site.reload_config() == UNCHANGED


def test_many_discarded(begin: Begin) -> None:
    site = begin(MYAPP)
    site.change(MYAPP + "redirect_stderr=true\nstdout_logfile={folder}/new\n")
    pid = site.pid()

    def act(number: int) -> None:
        wait_executed(site.succeed().successor)
        site.discard()
        wait_for(lambda: site.succession().successor == 0)

    assert_leaves_nothing(site, act)
    assert site.pid() == pid


def test_many_that_could_not_be_started(begin: Begin) -> None:
    site = begin(MYAPP)
    (site.folder / "folder").mkdir()
    sections = [
        MYAPP.replace("sleep", "nosuch"),
        MYAPP + "stdout_logfile={folder}/folder\n",
        MYAPP + "directory=/nosuch\n",
        MYAPP.replace("sleep 1000", "false"),
    ]

    def act(number: int) -> None:
        site.change(sections[number % len(sections)])
        try:
            site.succeed()
        except Fault:
            assert number % len(sections) < 2
        else:
            wait_for(lambda: site.succession().ended)

    assert_leaves_nothing(site, act)
    site.write(MYAPP)
    assert site.reload_config() == UNCHANGED


def test_many_fcgi_promotions(begin: Begin) -> None:
    site = begin(f"[fcgi-program:myapp]\n{PLAIN}\nsocket=unix://{{folder}}/fcgi.sock\n")
    assert_leaves_nothing(site, lambda number: replaced(site))
