"""What Prometheus is told, by the extra ``metrics``: imported when it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import accumulate
from typing import TYPE_CHECKING

from supervisor_roll import __version__
from supervisor_roll.listener.rollouts.tally import BOUNDS, Spread, Tally
from supervisor_roll.rollout.reports import WorkerLife
from supervisor_roll.rollout.words import FINAL, PAUSED, PROGRESSING
from supervisor_roll.wire.mailbox import Status

if TYPE_CHECKING:
    from prometheus_client.core import Metric


def metrics_text(
    shown: Mapping[str, Status],
    lives: Callable[[str], Iterable[WorkerLife]],
    tallies: Mapping[str, Tally],
    hooks: Mapping[str, str],
) -> str:
    """Return all metrics as text; empty if the library is not there. ``hooks`` are versions."""
    try:
        from prometheus_client import CollectorRegistry, generate_latest
    except ImportError:
        return ""

    class Everything:
        def collect(self) -> Iterator[Metric]:
            yield from _of_now(shown, lives)
            yield from _of_the_past(tallies)
            yield from _versions(hooks)

    registry = CollectorRegistry()
    registry.register(Everything())
    return generate_latest(registry).decode()


def _of_now(
    shown: Mapping[str, Status], lives: Callable[[str], Iterable[WorkerLife]]
) -> Iterator[Metric]:
    from prometheus_client.core import GaugeMetricFamily

    def gauge(name: str, text: str) -> GaugeMetricFamily:
        return GaugeMetricFamily(f"supervisor_roll_{name}", text, labels=["program"])

    ready = gauge("ready_workers", "Workers that are ready.")
    desired = gauge("desired_workers", "Workers that the arbiter wants.")
    outdated = gauge("outdated_workers", "Workers that run since before the last rollout.")
    under_way = gauge("rollout_under_way", "1 while a rollout is progressing or paused.")
    memory = gauge("worker_memory_bytes", "Memory of all workers, as far as it was measured.")
    largest = gauge("worker_memory_max_bytes", "Memory of the largest worker.")
    for name, status in shown.items():
        sizes = [life.memory_bytes for life in lives(name)]
        ready.add_metric([name], status.ready)
        desired.add_metric([name], status.desired)
        outdated.add_metric([name], len(status.outdated))
        under_way.add_metric([name], status.state in (PROGRESSING, PAUSED))
        memory.add_metric([name], sum(sizes))
        largest.add_metric([name], max(sizes, default=0))
    yield from (ready, desired, outdated, under_way, memory, largest)


def _of_the_past(tallies: Mapping[str, Tally]) -> Iterator[Metric]:
    from prometheus_client.core import (
        CounterMetricFamily,
        GaugeMetricFamily,
        HistogramMetricFamily,
    )

    of = "supervisor_roll_"
    rollouts = CounterMetricFamily(
        f"{of}rollouts", "Rollouts that have ended.", labels=["program", "verdict"]
    )
    recycled = CounterMetricFamily(
        f"{of}recycled_workers", "Workers past a limit that were replaced.", labels=["program"]
    )
    success = GaugeMetricFamily(
        f"{of}last_success_timestamp_seconds", "When a rollout was complete.", labels=["program"]
    )
    boots = HistogramMetricFamily(
        f"{of}boot_seconds", "From fork to ready, of workers of rollouts.", labels=["program"]
    )
    drains = HistogramMetricFamily(
        f"{of}drain_seconds", "From being asked to leave to the exit.", labels=["program"]
    )
    for name, tally in tallies.items():
        for verdict in sorted({*FINAL, *tally.verdicts}):
            rollouts.add_metric([name, verdict], tally.verdicts.get(verdict, 0))
        recycled.add_metric([name], tally.recycled)
        success.add_metric([name], tally.last_success)
        boots.add_metric([name], _buckets(tally.boots), tally.boots.sum)
        drains.add_metric([name], _buckets(tally.drains), tally.drains.sum)
    yield from (rollouts, recycled, success, boots, drains)


def _versions(hooks: Mapping[str, str]) -> Iterator[Metric]:
    from prometheus_client.core import InfoMetricFamily

    listener = InfoMetricFamily("supervisor_roll_listener", "The listener's supervisor_roll.")
    listener.add_metric([], {"version": __version__})
    arbiters = InfoMetricFamily(
        "supervisor_roll_hooks", "The supervisor_roll of the arbiter's hooks.", labels=["program"]
    )
    for name, version in hooks.items():
        arbiters.add_metric([name], {"version": version})
    yield from (listener, arbiters)


def _buckets(spread: Spread) -> list[tuple[str, float]]:
    return list(zip([*map(str, BOUNDS), "+Inf"], accumulate(spread.counts), strict=True))
