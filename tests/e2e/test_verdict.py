"""After a failed rollout rollstatus says since when and why, and which workers are outdated and
fresh, also to a listener that was restarted; a rollout after the mend replaces them all."""

from __future__ import annotations

import os
import re
import signal
import time

import pytest

from tests.harness import MakeSite, Program, Sample, Site, wait_until

WORKERS = 3


@pytest.fixture
def site(make_site: MakeSite) -> Site:
    return make_site(Program(workers=WORKERS, boot_secs=0.3)).deploy("v2", boot="once")


def test_it_is_told_until_a_rollout_completes(site: Site) -> None:
    before = site.workers("web")
    began = int(time.time())
    output = site.roll("web", status=1)
    assert "ImportError: this release boots only once" in output
    assert f"{WORKERS - 1} outdated, 1 fresh" in output
    after = site.wait_ready("web", WORKERS)
    assert len(after.children & before.children) == WORKERS - 1

    verdict = site.ctl("rollstatus", "web").output
    _assert_told(verdict, before, after)
    moments = re.findall(r"^  (?:began|ended) +(\S+ \S+) \(", verdict, re.MULTILINE)
    told = [time.mktime(time.strptime(moment, "%Y-%m-%d %H:%M:%S")) for moment in moments]
    assert began <= told[0] <= told[1] <= time.time()
    (line,) = [line for line in site.ctl("rollstatus").output.splitlines() if "web" in line]
    assert re.match(rf"web +failed +.* ago +1/{WORKERS} +{WORKERS}/{WORKERS} +\S", line), line

    site.restart_listener()
    wait_until(
        lambda: _timeless(site.ctl("rollstatus", "web").output) == _timeless(verdict),
        15,
        "the next listener says the same",
    )
    assert site.workers("web").children == after.children

    site.deploy("mended")
    with site.unharmed(replaced=WORKERS):
        site.roll("web")
    mended = site.workers("web")
    assert not mended.children & before.children
    verdict = site.ctl("rollstatus", "web").output
    assert verdict.startswith("web: complete\n"), verdict
    assert _pids(verdict, "fresh") == mended.children
    assert _pids(verdict, "outdated") == frozenset()


def test_it_follows_the_workers_that_come_and_go(site: Site) -> None:
    before = site.workers("web")
    site.roll("web", status=1)
    after = site.wait_ready("web", WORKERS)
    site.deploy("v3")
    victim = min(after.children & before.children)
    os.kill(victim, signal.SIGKILL)
    wait_until(lambda: victim not in site.workers("web").children, 15, "it is gone")
    replaced = site.wait_ready("web", WORKERS)
    wait_until(
        lambda: _assert_told(site.ctl("rollstatus", "web").output, before, replaced) or True,
        15,
        "rollstatus knows of its replacement",
        every_secs=0.2,
        not_yet=(AssertionError,),
    )


def _assert_told(verdict: str, before: Sample, now: Sample) -> None:
    assert verdict.startswith("web: failed\n"), verdict
    assert f"replaced  1 of {WORKERS} workers" in verdict
    assert f"ready     {WORKERS} of {WORKERS}, never fewer than {WORKERS}" in verdict
    assert "asked by  supervisorctl rollrestart" in verdict
    assert "ImportError: this release boots only once" in verdict
    assert _pids(verdict, "outdated") == now.children & before.children
    assert _pids(verdict, "fresh") == now.children - before.children


def _pids(verdict: str, which: str) -> frozenset[int]:
    """The pids of a line such as ``outdated  4711 4712 (v1)``."""
    lines = re.findall(rf"^  {which} +(.*)$", verdict, re.MULTILINE)
    pids = [re.findall(r"\d+", re.sub(r"\([^)]*\)", "", line)) for line in lines]
    return frozenset(int(pid) for line in pids for pid in line)


def _timeless(verdict: str) -> str:
    return re.sub(r"\([^)]* ago\)", "", verdict)
