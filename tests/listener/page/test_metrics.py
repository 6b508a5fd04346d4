"""What Prometheus is told, as its own library's parser reads it."""

from __future__ import annotations

import math

import pytest
from prometheus_client.parser import text_string_to_metric_families

from supervisor_roll import __version__
from supervisor_roll.listener.page.metrics import metrics_text
from supervisor_roll.listener.rollouts.tally import Spread, Tally
from supervisor_roll.rollout.reports import WorkerLife
from supervisor_roll.rpc.page.documents import Document, Documents
from supervisor_roll.wire.mailbox import METRICS, Status
from tests.fakes.site import EPOCH, Site


class Samples(dict[tuple[str, ...], float]):
    """By name and, sorted, the values of the labels."""

    def __init__(self, text: str) -> None:
        for family in text_string_to_metric_families(text):
            assert family.documentation and family.type != "unknown"
            for one in family.samples:
                self[(one.name.removeprefix("supervisor_roll_"), *sorted(one.labels.values()))] = (
                    one.value
                )


class Scraper:
    """As Prometheus is."""

    gone = False

    def __init__(self, site: Site) -> None:
        self._site, self._data = site, b""
        self._documents = site.supervisord.mailbox.documents = Documents(
            lambda: site.coordinator.rung(), lambda: site.now
        )

    def answer(self, document: Document) -> None:
        self._data = document.data or b""

    def scrape(self) -> Samples:
        self._data = b""
        self._documents.ask(METRICS, None, self)
        self._site.pass_time(1)
        return Samples(self._data.decode())


def test_a_rollout_is_counted_once_also_by_the_next_listener(site: Site) -> None:
    site.table.worker_bytes, site.table.room_bytes = 5 * 2**20, 2**40
    scraper = Scraper(site)
    before = scraper.scrape()
    assert (before["ready_workers", "myapp"], before["desired_workers", "myapp"]) == (2, 2)
    assert ("rollouts_total", "complete", "myapp") not in before
    site.ask("myapp")
    site.pass_time(30)
    ended = site.now
    for _ in range(2):
        scraper.scrape()  # on a busy machine each measures no more than one worker
        found = scraper.scrape()
        assert found["rollouts_total", "complete", "myapp"] == 1
        assert found["rollouts_total", "failed", "myapp"] == 0
        assert found["boot_seconds_count", "myapp"] == 2
        assert found["boot_seconds_bucket", "+Inf", "myapp"] == 2
        assert found["drain_seconds_count", "myapp"] == 2
        assert found["last_success_timestamp_seconds", "myapp"] == pytest.approx(
            EPOCH + ended, abs=40
        )
        assert found["recycled_workers_total", "myapp"] == 0
        assert found["worker_memory_max_bytes", "myapp"] == 5 * 2**20
        assert found["worker_memory_bytes", "myapp"] == 10 * 2**20
        assert found["rollout_under_way", "myapp"] == 0
        assert found["listener_info", __version__] == 1
        site.restart()
        site.pass_time(1)


def test_what_is_refused_and_what_is_only_tried_out(site: Site) -> None:
    scraper = Scraper(site)
    site.ask("myapp", kind="dry-run")
    site.pass_time(5)
    assert ("rollouts_total", "complete", "myapp") not in scraper.scrape()
    site.ask("myapp", max_surge="0", max_unavailable="0")
    site.pass_time(5)
    assert scraper.scrape()["rollouts_total", "myapp", "refused"] == 1


def test_recycled_workers_are_counted_apart(site: Site) -> None:
    scraper = Scraper(site)
    site.ask("myapp", kind="recycle")
    site.pass_time(30)
    found = scraper.scrape()
    assert found["recycled_workers_total", "myapp"] == 1
    assert found["rollouts_total", "complete", "myapp"] == 0
    assert found["boot_seconds_count", "myapp"] == 1


def test_seconds_are_put_below_the_right_bound() -> None:
    spread = Spread()
    for secs in (0.0, 0.1, 0.2, 7.0, 1000.0):
        spread.add(secs)
    found = Samples(metrics_text({}, lambda name: [], {"web": Tally(boots=spread)}, {}))
    bounds = ("0.1", "0.25", "5.0", "10.0", "300.0", "+Inf")
    counts = [found[("boot_seconds_bucket", *sorted((bound, "web")))] for bound in bounds]
    assert counts == [2, 3, 3, 4, 4, 5]
    assert math.isclose(found["boot_seconds_sum", "web"], 1007.3)


def test_a_hostile_name_stays_a_label() -> None:
    name = 'a"} 1\nup{x="\\'
    text = metrics_text({name: Status("idle", 0.0, ready=3)}, lambda name: [WorkerLife()], {}, {})
    assert Samples(text)["ready_workers", name] == 3
