"""Where words of the workers are lost, or the listener hangs, a rollout looks at what runs before
it acts: it adds no more than it may, and the number of workers ends where it began."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.harness import MakeSite, Program, Site, patience, steady, wait_until

WORKERS = 3
# A configuration that starts helpers beside the workers: one forked, and one that is executed.
HELPERS = """
import os, subprocess, sys, time

def when_ready(server):
    if not os.fork():
        time.sleep(600)
        os._exit(0)
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)", "helper"])
"""


@pytest.fixture
def site(make_site: MakeSite) -> Site:
    program = Program(workers=WORKERS, worker_class="gthread")
    site = make_site(program, start=False)
    words(site).mkdir()
    roll = site.folder / "conf.d" / "roll.conf"
    line = "[rpcinterface:roll]\n"
    roll.write_text(roll.read_text().replace(line, f"{line}socket = {words(site)}/sockets\n"))
    site.start()
    site.add_release("v2")
    return site


def words(site: Site) -> Path:
    """The folder of the directory with the readiness sockets."""
    return site.folder / "run" / "words"


@contextmanager
def nothing_heard(site: Site) -> Iterator[None]:
    """Nothing that is said arrives, and the listener cannot bind its sockets anew."""
    aside = words(site).rename(words(site).with_suffix(".aside"))
    words(site).touch()
    yield
    words(site).unlink()
    aside.rename(words(site))


def processes(site: Site) -> int:
    """How many arbiters and workers of it run."""
    return len(site.arbiters("web")) + len(site.all_workers("web").children)


def settled(site: Site, workers: int = WORKERS) -> None:
    wait_until(
        lambda: len(site.workers("web").ready) == len(site.workers("web").children) == workers,
        30,
        f"{workers} workers run, and all are ready",
    )


@pytest.mark.parametrize(
    ("strategy", "why"),
    [
        ("workers", "worker N was not ready within 3 s: it has said nothing at all"),
        # One that is told nothing of the sockets does not start beside the one that serves.
        ("arbiter", "the successor had 0 of 1 workers after 3 s"),
    ],
    ids=["workers", "arbiter"],
)
def test_nothing_is_heard_any_more_and_what_was_added_is_taken_back(
    site: Site, strategy: str, why: str
) -> None:
    options = (f"--strategy={strategy}", "--max-surge=1")
    arbiter, before = site.pid("web"), site.workers("web").children
    with steady(load := site.load("web")), site.observe_all("web") as seen:
        site.deploy("v2")
        with nothing_heard(site):
            output = site.roll("web", *options, "--ready-timeout=3", status=1)
            assert why in re.sub(r"\d{2,}", "N", output)
            settled(site)
            wait_until(lambda: processes(site) == 1 + WORKERS, 30, "what was added is gone")
            begun = site.ctl_start("rollrestart", *options, "--ready-timeout=60", "web")
            wait_until(lambda: processes(site) > 1 + WORKERS, 30, "one more runs")
            assert site.ctl("rollabort", "web").status == 0
            begun.ends(1, "aborted")
            settled(site)
        wait_until(lambda: site.arbiters("web") == [arbiter], 30, "one arbiter runs")
        assert site.workers("web").children == before
        seen_most = seen.max_children
        site.roll("web", *options, f"--ready-timeout={30 * patience():.0f}")
    assert not load.so_far().failed, load.so_far()
    assert seen_most <= WORKERS + 1
    assert seen.min_ready >= WORKERS
    assert not site.wait_ready("web", WORKERS).children & before


def test_a_count_that_nobody_heard_is_known_at_the_next_rollout(site: Site) -> None:
    before = site.workers("web").children
    listener = site.kill_listener()
    os.kill(site.pid("web"), signal.SIGTTOU)
    settled(site, WORKERS - 1)
    site.wait_listener(other_than=listener)
    site.deploy("v2")
    output = site.roll("web", f"--ready-timeout={30 * patience():.0f}")
    assert f"{WORKERS - 1} workers replaced" in output
    assert not site.wait_ready("web", WORKERS - 1).children & before


def test_a_listener_that_hung_for_longer_than_a_boot_may_take_fails_no_good_release(
    site: Site,
) -> None:
    site.add_release("gated", boot="gate")
    timeout = 3 * patience()
    with site.unharmed(replaced=WORKERS):
        site.deploy("gated")
        roll = site.ctl_start("rollrestart", f"--ready-timeout={timeout:.1f}", "web")
        site.wait_booting("web", 1)
        listener = site.listener_pid
        os.kill(listener, signal.SIGSTOP)
        site.open_gate("gated")
        settled(site, WORKERS + 1)
        until = time.monotonic() + timeout + 2
        wait_until(lambda: time.monotonic() > until, timeout + 30, "the boot would be late")
        os.kill(listener, signal.SIGCONT)
        roll.ends()


def test_helpers_of_an_arbiter_are_not_taken_for_workers(make_site: MakeSite) -> None:
    site = make_site(Program(workers=2, conf=HELPERS, roll={"min_ready_secs": "1"}), start=False)
    site.start_supervisord()
    site.wait_listener()
    site.start_programs()
    site.wait_state("web", "RUNNING")
    wait_until(lambda: len(site.workers("web").ready) == 2, 30, "both are ready")
    before = site.workers("web")
    helpers = before.children - before.ready
    assert len(helpers) == 2
    site.deploy("v2", boot="hang")
    assert "was not ready within 3 s" in site.roll("web", "--ready-timeout=3", status=1)
    wait_until(lambda: site.workers("web").children == before.children, 30, "all is as before")
    site.deploy("v3")
    site.roll("web", f"--ready-timeout={30 * patience():.0f}")
    assert site.workers("web").children >= helpers
