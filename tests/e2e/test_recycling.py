"""Workers that are past a limit are replaced while they serve: one by one, each by one boot, with
never fewer ready than there are, and no request fails."""

from __future__ import annotations

import os
import re
import signal

import pytest

from tests.harness import MakeSite, Program, Site, wait_until

WORKERS = 3
LIMIT = 60


def recycling(make_site: MakeSite, **options: object) -> Site:
    """A site whose workers reach their limit after 60 requests each, which take 4 s or so."""
    conf = f"max_requests = {LIMIT}\n{options.pop('conf', '')}"
    return make_site(Program(workers=WORKERS, boot_secs=0.3, conf=conf, **options))  # type: ignore[arg-type]


def said(site: Site) -> str:
    """What the listener has logged."""
    logs = (site.folder / "logs").glob("roll-stderr*")
    return "".join(one.read_text() for one in logs)


def recycled(site: Site) -> list[str]:
    """The workers that the listener has begun to replace, so far."""
    return re.findall(r"worker (\d+) is recycled", said(site))


def assert_one_by_one(site: Site) -> None:
    signals = re.findall(r" (TTIN|TTOU) to the arbiter", said(site))
    assert signals == (["TTIN", "TTOU"] * len(signals))[: len(signals)]


@pytest.mark.parametrize(
    ("worker_class", "version", "conf"),
    [
        ("sync", None, ""),
        ("gthread", "23.0.0", "threads = 4"),
        ("sync", "20.1.0", "preload_app = True"),
    ],
)
def test_under_load_each_is_replaced_by_one_boot_and_no_request_fails(
    make_site: MakeSite, worker_class: str, version: str | None, conf: str
) -> None:
    site = recycling(make_site, worker_class=worker_class, gunicorn=version, conf=conf)
    with site.unharmed() as meanwhile:
        wait_until(lambda: len(recycled(site)) >= 5, 60, "five are recycled")
    assert_one_by_one(site)
    booted = {pid for one in meanwhile.seen.samples for pid in one.children}
    assert len(booted) - WORKERS <= len(recycled(site))
    assert "requests, limit 60" in said(site)


def test_all_at_once_go_one_by_one_though_the_listener_is_killed_meanwhile(
    make_site: MakeSite,
) -> None:
    site = make_site(
        Program(workers=WORKERS, boot_secs=0.3, roll={"max_worker_lifetime_secs": "4"})
    )
    with site.unharmed() as meanwhile:
        site.wait_booting("web", 1, 60)
        os.kill(site.pid("roll"), signal.SIGKILL)
        site.wait_replaced("web", meanwhile.before, 60)
    assert_one_by_one(site)
    assert "s old, limit 4" in said(site)


def test_without_a_listener_it_is_gunicorns_own_way(make_site: MakeSite) -> None:
    site = recycling(make_site)
    with site.unharmed(least_ready=0) as meanwhile:
        assert site.ctl("stop", "roll").status == 0
        site.wait_replaced("web", meanwhile.before, 60)
    assert recycled(site) == []


def test_a_broken_release_costs_nothing_but_a_warning(make_site: MakeSite) -> None:
    site = recycling(make_site)
    site.add_release("broken", boot="import-error")
    with site.unharmed(replaced=0) as meanwhile:
        site.deploy("broken")
        wait_until(lambda: site.rollout("web").get("recycling"), 60, "the recycling has failed")
        wait_until(lambda: len(recycled(site)) >= 1, 10, "it was tried")
        site.wait_ready("web", WORKERS)
    assert meanwhile.seen.max_children == WORKERS + 1
    table = site.ctl("rollstatus").output
    assert "recycling failed: worker" in table
    site.add_release("good")
    with site.unharmed(replaced=WORKERS):
        site.deploy("good")
        site.roll("web")
    assert not site.rollout("web")["recycling"]


def test_a_rollout_that_is_asked_for_goes_first(make_site: MakeSite) -> None:
    site = recycling(make_site)
    site.add_release("slow", boot="gate")
    site.deploy("slow")
    with site.unharmed(replaced=WORKERS):
        site.wait_booting("web", 1, 60)
        assert "requests, limit 60" in site.ctl("rollstatus", "web").output
        roll = site.ctl_start("rollrestart", "web")
        roll.wait_says("a recycling of its workers is under way, and ends first")
        site.open_gate("slow")
        roll.ends(0, "complete: 3 workers replaced")


def test_one_that_leaks_is_replaced_before_it_is_at_its_limit(make_site: MakeSite) -> None:
    site = make_site(
        Program(
            app="leaky:app",
            workers=2,
            environment={"LEAK_MIB": "4"},
            roll={"max_worker_rss_mib": "256"},
        )
    )
    with site.unharmed(rate=2) as meanwhile:
        wait_until(lambda: len(recycled(site)) >= 2, 100, "two are recycled")
    assert len({pid for one in meanwhile.seen.samples for pid in one.children}) <= 5
    sizes = [int(size) for size in re.findall(r"is recycled: (\d+) MiB, limit 256", said(site))]
    assert all(128 < size < 256 for size in sizes), sizes


def test_single_workers_are_replaced_by_hand(make_site: MakeSite) -> None:
    site = make_site(Program(workers=WORKERS, boot_secs=0.3))
    site.add_release("v2")
    with site.unharmed() as meanwhile:
        youngest = max(meanwhile.before.children)
        output = site.ctl("rollrecycle", "web", str(youngest))
        assert output.status == 0, output
        assert f"worker {youngest} is recycled: as asked for" in output.output
        site.wait_ready("web", WORKERS)
        assert youngest not in site.workers("web").children
        site.deploy("v2")
        assert site.ctl("rollrecycle", "web").status == 0
    assert len(recycled(site)) == site.boots("web") - WORKERS == 2
    strange = site.ctl("rollrecycle", "web", str(site.pid("web")))
    assert strange.status == 1
    assert f"no worker of it: {site.pid('web')}" in strange.output
