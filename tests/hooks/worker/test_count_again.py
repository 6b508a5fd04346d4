"""The count that an arbiter wants is said again until the listener has acknowledged it."""

from __future__ import annotations

from supervisor_roll.hooks.shared_memory import AGAIN_SECS, ArbiterPage


def test_a_count_is_due_until_it_was_acknowledged_and_one_worker_says_it_at_a_time() -> None:
    page = ArbiterPage()
    assert not page.count_is_due(100.0)
    page.set_count(3)
    assert page.count_is_due(100.0)
    assert not page.count_is_due(100.0 + AGAIN_SECS / 2), "another worker has just said it"
    assert page.count_is_due(100.0 + AGAIN_SECS)
    page.count_heard(page.count()[0])
    assert not page.count_is_due(200.0)
    page.set_count(4)
    assert page.count_is_due(200.0)
    page.count_heard(-1)  # an answer of a listener that knows no count
    assert page.count_is_due(200.0 + AGAIN_SECS)
    assert page.count() == (2, 4)
