"""One peer in one scenario, and the figures of it."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from compare.ground import Ground
from compare.peers import Peer
from compare.scenarios import CLIENTS, WORKERS, Scenario
from tests.harness import Load, Observer, Request, Sample

BEFORE_SECS = 2.5
AFTER_SECS = 1.0
#: Kept connections that are idle for less are used without a look.
_TRUST_SECS = 1.5


@dataclass(frozen=True)
class Outcome:
    """What clients and workers of one deployment went through, from its beginning on. What never
    came to an end is infinite."""

    requests: int
    failed: int
    #: The 99th percentile of the waits during the deployment, over that before.
    slower: float
    least_ready: int
    most_workers: int
    lost_worker_secs: float
    #: How long it took, over the boot of all workers at once.
    over_ideal: float
    #: What answers in the end: "new", "old", "500" or "nothing", or several of these.
    serves: str
    #: What the failed ones met, and how often.
    errors: Mapping[str, int]


def measured(peer_class: type[Peer], scenario: Scenario) -> Outcome:
    """Deploy once under load. Raises AssertionError if the peer does not start, RuntimeError if it
    cannot be installed."""
    with Ground(scenario) as ground:
        peer = peer_class(ground)
        try:
            peer.start()
            if not ground.wait(lambda now: len(now.ready) == WORKERS):
                raise AssertionError(f"{peer.title} does not start: {ground.log_tail()}")
            return _deployed(peer, ground)
        finally:
            peer.stop()


def _deployed(peer: Peer, ground: Ground) -> Outcome:
    scenario = ground.scenario
    load = Load(
        ground.port,
        rate=scenario.rate,
        keep_alive=scenario.kept,
        connections=CLIENTS,
        trust_secs=_TRUST_SECS,
        timeout_secs=scenario.patience_secs,
    )
    with Observer(ground, 0.02) as seen, load:
        time.sleep(BEFORE_SECS)
        old = ground.sample().children
        ground.deploy()
        began = time.monotonic()
        peer.roll()
        if scenario.watch_secs is None:
            ground.wait(lambda now: ground.replaced(old, now))
        else:
            time.sleep(max(0.0, began + scenario.watch_secs - time.monotonic()))
        time.sleep(AFTER_SECS)
        ended = time.monotonic()
        summary = load.stop()
    before = [one for one in summary.requests if one.due < began]
    if any(one.failed for one in before):
        raise AssertionError("requests failed before the deployment: the machine is too busy")
    requests = summary.requests[len(before) :]
    samples = [one for one in seen.samples if began <= one.at <= ended]
    done = next((one.at for one in samples if ground.replaced(old, one)), math.inf)
    return Outcome(
        len(requests),
        sum(one.failed for one in requests),
        _p99([one for one in requests if one.due <= done]) / _p99(before),
        min(len(one.ready) for one in samples),
        max(len(one.children) for one in samples),
        _lost(samples),
        (done - began) / scenario.ideal_secs,
        _serves([one for one in requests if one.due > ended - AFTER_SECS]),
        summary.errors,
    )


def _p99(requests: Sequence[Request]) -> float:
    """The wait that 99 of 100 requests do not exceed; one that fails has waited for ever."""
    waits = sorted(math.inf if one.failed else one.wait_secs for one in requests)
    return waits[math.ceil(0.99 * len(waits)) - 1] if waits else math.nan


def _lost(samples: Sequence[Sample]) -> float:
    """The seconds of workers that were missing."""
    return sum(
        (after.at - one.at) * max(0, WORKERS - len(one.ready))
        for one, after in itertools.pairwise(samples)
    )


def _serves(requests: Sequence[Request]) -> str:
    what = set()
    for one in requests:
        if one.failed:
            what.add(str(one.status) if one.status else "nothing")
        else:
            what.add({"v1": "old", "v2": "new"}[one.release])
    return " + ".join(sorted(what, reverse=True))
