"""What an event of supervisord's costs: only one that announces a request is answered at once."""

from __future__ import annotations

import selectors
from types import SimpleNamespace
from typing import Any

import pytest

from supervisor_roll.listener.__main__ import Loop
from supervisor_roll.wire.listener_protocol import ANNOUNCEMENT
from tests.fakes.site import ready_site


@pytest.mark.parametrize(
    ("event", "said"),
    [
        ("TICK_5", []),
        ("PROCESS_STATE_RUNNING", []),
        (ANNOUNCEMENT, []),
        ("REMOTE_COMMUNICATION", ["exchange"]),
    ],
)
def test_only_a_request_has_the_mailbox_looked_into(event: str, said: list[str]) -> None:
    site, _ = ready_site(2)
    readiness: Any = SimpleNamespace(serve=set, check=lambda: None, wrong="")
    users: Any = SimpleNamespace(configured=set, running=set)
    rest: Any = SimpleNamespace(put_off=lambda: None)
    agents: Any = SimpleNamespace(serve=lambda: None, trouble="")
    loop = Loop(selectors.DefaultSelector(), site.coordinator, readiness, users, rest, agents)
    for _ in range(24):
        loop._heard(event)
    site.settle()
    assert site.log == said
