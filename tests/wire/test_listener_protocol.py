"""The event-listener protocol, against what supervisor itself writes and reads."""

from __future__ import annotations

import io
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from supervisor.childutils import EventListenerProtocol
from supervisor.compat import as_bytes
from supervisor.events import Event, ProcessStateExitedEvent, RemoteCommunicationEvent, Tick5Event
from supervisor.process import EventListenerPool

from supervisor_roll.rollout.errors import BadMessage
from supervisor_roll.wire.listener_protocol import ANNOUNCEMENT, OK, READY, EventReader

NAMES = {
    Tick5Event: "TICK_5",
    RemoteCommunicationEvent: "REMOTE_COMMUNICATION",
    ProcessStateExitedEvent: "PROCESS_STATE_EXITED",
}
EVENTS = st.lists(
    st.tuples(
        st.sampled_from(list(NAMES)), st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
    ),
    max_size=4,
)


def written(kind: type[Event], payload: str, serial: int = 7) -> bytes:
    """An event's envelope and payload, as supervisor writes them to a listener."""
    pool = SimpleNamespace(
        config=SimpleNamespace(name="roll", options=SimpleNamespace(identifier="supervisor"))
    )
    envelope = EventListenerPool._eventEnvelope(pool, kind, serial, serial + 1, payload)
    return bytes(as_bytes(envelope))


def test_we_say_what_supervisors_own_listeners_say() -> None:
    ready, ok = io.StringIO(), io.StringIO()
    EventListenerProtocol().ready(ready)
    EventListenerProtocol().ok(ok)
    assert (ready.getvalue().encode(), ok.getvalue().encode()) == (READY, OK)


def test_an_event_is_named_once_it_is_complete() -> None:
    data = written(RemoteCommunicationEvent, "type:supervisor_roll\nabc")
    reader = EventReader()
    assert reader.feed(data[:-1]) == []
    assert reader.partial
    assert reader.feed(data[-1:]) == ["REMOTE_COMMUNICATION"]
    assert not reader.partial


@pytest.mark.parametrize(
    ("kind", "payload", "name"),
    [
        (RemoteCommunicationEvent, "type:supervisor_roll.started\n{}", ANNOUNCEMENT),
        (RemoteCommunicationEvent, "type:supervisor_rolls.started\n{}", "REMOTE_COMMUNICATION"),
        (RemoteCommunicationEvent, "type:another\ntype:supervisor_roll.x", "REMOTE_COMMUNICATION"),
        (Tick5Event, "type:supervisor_roll.started\n", "TICK_5"),
    ],
)
def test_what_we_announce_to_others_has_a_name_of_its_own(
    kind: type[Event], payload: str, name: str
) -> None:
    assert EventReader().feed(written(kind, payload)) == [name]


@settings(max_examples=50, deadline=None)
@given(EVENTS, st.data())
def test_however_the_bytes_are_cut_the_events_are_the_same(
    events: list[tuple[type[Event], str]], data: st.DataObject
) -> None:
    stream = b"".join(written(kind, payload) for kind, payload in events)
    reader, names, at = EventReader(), [], 0
    while at < len(stream):
        size = data.draw(st.integers(1, max(1, len(stream) - at)))
        names += reader.feed(stream[at : at + size])
        at += size
    assert names == [NAMES[kind] for kind, _ in events]


def test_wherever_a_stream_is_cut_in_three_the_events_are_the_same() -> None:
    stream = written(ProcessStateExitedEvent, "é€𝄞\n") + written(Tick5Event, "")
    for first in range(len(stream) + 1):
        for second in range(first, len(stream) + 1):
            reader = EventReader()
            parts = stream[:first], stream[first:second], stream[second:]
            names = [name for part in parts for name in reader.feed(part)]
            assert names == ["PROCESS_STATE_EXITED", "TICK_5"]


PIECES = st.sampled_from(
    [b"\n", b" ", b":", b"len:", b"len:3", b"len:0", b"len:-9", b"eventname:TICK_5", b"\xe2\x82"]
)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60) | st.lists(PIECES, max_size=12).map(b"".join))
def test_any_bytes_are_events_or_a_bad_message_however_they_come(data: bytes) -> None:
    def read(parts: list[bytes]) -> list[str] | None:
        reader = EventReader()
        try:
            return [name for part in parts for name in reader.feed(part)]
        except BadMessage:
            return None

    assert read([data]) == read([bytes([one]) for one in data])


def test_a_length_counts_characters_and_not_bytes() -> None:
    data = written(ProcessStateExitedEvent, "processname:größe €𝄞") + written(Tick5Event, "when:1")
    assert EventReader().feed(data) == ["PROCESS_STATE_EXITED", "TICK_5"]


def test_an_event_that_supervisord_had_no_room_for_is_missed() -> None:
    reader = EventReader()
    for serial, lost in ((7, False), (8, False), (10, True)):
        reader.feed(written(Tick5Event, "", serial=serial))
        assert reader.lost is lost
    reader.lost = False
    reader.feed(written(Tick5Event, "", serial=11))
    assert reader.lost is False


def test_a_payload_may_look_like_an_envelope() -> None:
    inner = written(Tick5Event, "when:1").decode()
    data = written(RemoteCommunicationEvent, inner) + written(Tick5Event, "")
    assert EventReader().feed(data) == ["REMOTE_COMMUNICATION", "TICK_5"]


@pytest.mark.parametrize(
    "data",
    [
        b"\n",
        b"garbage\n",
        b"eventname:TICK_5\n",
        b"len:3\nabc",
        b"eventname:TICK_5 len:x\n",
        b"eventname:TICK_5 len:-2\nabc",
    ],
)
def test_what_is_no_envelope_is_an_error(data: bytes) -> None:
    with pytest.raises(BadMessage):
        EventReader().feed(data)
