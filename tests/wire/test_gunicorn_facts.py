"""What a message's fields say of a Gunicorn."""

from __future__ import annotations

import pytest

from supervisor_roll.wire.gunicorn_facts import GunicornFacts
from supervisor_roll.wire.messages import Ready
from supervisor_roll.wire.places import Place


def test_all_fields_are_read() -> None:
    message = Ready(
        gunicorn="27.0.1",
        worker_class="gthread",
        preload=True,
        reuse_port=False,
        timeout=30,
        binds=("127.0.0.1:80", "unix:/s"),
        configured=4,
        places="root\t/\t/\t1:2",
        age=7,
    )
    assert GunicornFacts.told(message) == GunicornFacts(
        gunicorn="27.0.1",
        worker_class="gthread",
        preload=True,
        timeout=30.0,
        binds=["127.0.0.1:80", "unix:/s"],
        configured=4,
        places=[Place("root", "/", "/", "1:2")],
    )


def test_nothing_said_is_nothing_known() -> None:
    assert GunicornFacts.told(Ready()) == GunicornFacts()


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("27.0.1", (27, 0, 1)),
        ("20.1.0", (20, 1, 0)),
        ("21.2", (21, 2)),
        ("23.0.0.dev1", (23, 0, 0)),
        ("24rc1", ()),
        ("", ()),
        ("?", ()),
    ],
)
def test_a_version_is_read_as_far_as_it_is_numbers(text: str, numbers: tuple[int, ...]) -> None:
    assert GunicornFacts(text).version == numbers


@pytest.mark.parametrize(
    ("gunicorn", "timeout", "boot_secs", "nearly"),
    [
        ("20.1.0", 30.0, 22.0, True),
        ("21.2.0", 30.0, 20.0, False),
        ("21.2.0", 0.0, 20.0, False),
        ("22.0.0", 30.0, 40.0, False),
    ],
)
def test_a_boot_is_near_the_timeout_of_those_that_count_it(
    gunicorn: str, timeout: float, boot_secs: float, nearly: bool
) -> None:
    assert GunicornFacts(gunicorn, timeout=timeout).nearly_ends(boot_secs) is nearly
