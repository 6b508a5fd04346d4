"""A user whose messages take long to handle does not hold up the others."""

from __future__ import annotations

import pytest

from supervisor_roll.listener.edges import share
from supervisor_roll.listener.edges.share import Share


class Times:
    """A clock, and the time that was worked."""

    def __init__(self) -> None:
        self.now = self.worked = 100.0


@pytest.fixture
def times() -> Times:
    return Times()


@pytest.fixture
def one(times: Times) -> Share:
    return Share(lambda: times.now, lambda: times.worked)


def take(one: Share, times: Times, secs: float) -> None:
    with one.spend():
        times.worked += secs
        times.now += secs


def test_a_burst_is_handled_at_once(one: Share, times: Times) -> None:
    take(one, times, share.BURST_SECS * 0.4)
    assert not one.is_scarce
    assert not one.is_spent


def test_what_is_taken_too_much_is_waited_for(one: Share, times: Times) -> None:
    take(one, times, share.BURST_SECS + 1.0)
    assert one.is_spent
    times.now += 1.0 / share.SHARE
    assert not one.is_spent
    assert one.is_scarce
    times.now += share.BURST_SECS / share.SHARE
    assert not one.is_scarce


def test_no_more_is_kept_than_a_burst(one: Share, times: Times) -> None:
    times.now += 1000.0
    assert not one.is_spent
    take(one, times, share.BURST_SECS * 1.5)
    assert one.is_spent


def test_what_fails_is_counted_too(one: Share, times: Times) -> None:
    with pytest.raises(ZeroDivisionError), one.spend():
        times.worked += 2 * share.BURST_SECS
        raise ZeroDivisionError
    assert one.is_spent
