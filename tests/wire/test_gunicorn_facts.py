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
