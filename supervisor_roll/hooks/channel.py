"""The way from a hook to the listener: one datagram there, one answer back, bounded in time."""

from __future__ import annotations

import _socket
import os
import time
from array import array
from collections.abc import Sequence

from supervisor_roll.hooks.line import Line
from supervisor_roll.rollout.errors import BadMessage
from supervisor_roll.wire.datagram import (
    MAX_BYTES,
    MAX_SOCKETS,
    decode,
    encode,
)
from supervisor_roll.wire.messages import Ack, Message

# All the time that one process of Gunicorn ever waits for the listener, hung or dead. A
# listener that is there answers within milliseconds; one that is not refuses at once.
PATIENCE_SECS = 2.0
# An answer that has not come by then never will.
ANSWER_SECS = 5.0


class Channel:
    """Where this process says things to the listener: on ``line``, or each on a line of its own.

    Built on ``_socket``, as ``Line`` is.
    """

    def __init__(self, patience_secs: float = PATIENCE_SECS, line: Line | None = None) -> None:
        self._patience, self._line = patience_secs, line
        self._awaited: tuple[type[Message], _socket.socket, float] | None = None

    def be_patient(self, secs: float) -> None:
        """Wait for so long in all, from now on."""
        self._patience = secs

    def tell(self, message: Message | bytes) -> None:
        """Say ``message``, which may be encoded, and want no answer.

        May be lost where the listener does not listen.
        """
        self._send(message if isinstance(message, bytes) else encode(message), ())

    def ask(self, message: Message, fds: Sequence[int] = (), *, waits: bool = True) -> Ack | None:
        """Say ``message`` and return the answer; None if it has not come within our patience.

        Duplicates of ``fds`` go with it. Asking the same kind again first looks for the answer
        that is still out. ``waits``: False to have no patience, this time.
        """
        patience = self._patience
        if not waits:
            self._patience = 0.0
        answer, _ = self._ask(message, fds, wants_sockets=False)
        if not waits:
            self._patience = patience
        return answer

    def ask_for_sockets(self, message: Message) -> tuple[Ack | None, list[int]]:
        """As ``ask``, for an answer that comes with descriptors. They are the caller's to close.

        There are none where not all that were sent have come.
        """
        return self._ask(message, (), wants_sockets=True)

    def _ask(
        self, message: Message, fds: Sequence[int], *, wants_sockets: bool
    ) -> tuple[Ack | None, list[int]]:
        kind = type(message)
        if self._awaited is not None:
            awaited, socket, asked_at = self._awaited
            if awaited == kind:
                answer, came = self._receive(socket, wants_sockets)
                if answer is not None:
                    self.close()
                if answer is not None or time.monotonic() < asked_at + ANSWER_SECS:
                    return answer, came
            self.close()
        mine, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
        try:
            sent = self._send(encode(message), (theirs.fileno(), *fds))
        finally:
            theirs.close()
        if not sent:
            mine.close()
            return None, []
        self._awaited = kind, mine, time.monotonic()
        answer, came = self._receive(mine, wants_sockets)
        if answer is not None:
            self.close()
        return answer, came

    def hang_up(self) -> None:
        """Wait for no answer, and say things each on a line of its own from now on."""
        self.close()
        if self._line is not None:
            self._line.close()
            self._line = None

    def close(self) -> None:
        """Stop waiting for an answer."""
        if self._awaited is not None:
            self._awaited[1].close()
            self._awaited = None

    def _send(self, data: bytes, fds: Sequence[int]) -> bool:
        ancillary = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, array("i", fds))] if fds else []
        began = time.monotonic()
        line = self._line or Line()
        sent = line.send(data, ancillary, self._patience)
        if self._line is None:
            line.close()
        self._spend(began)
        return sent

    def _receive(self, socket: _socket.socket, wants_sockets: bool) -> tuple[Ack | None, list[int]]:
        began = time.monotonic()
        came: list[int] = []
        try:
            socket.settimeout(self._patience)
            # With no room for descriptors the kernel drops those that are there.
            data, ancillary, flags, _ = socket.recvmsg(
                MAX_BYTES,
                _socket.CMSG_SPACE(4 * MAX_SOCKETS) if wants_sockets else 0,
                _socket.MSG_CMSG_CLOEXEC,
            )
            came = _descriptors(ancillary)
            found = decode(data) if data else None
            answer = found if isinstance(found, Ack) else None
        except (OSError, BadMessage):
            answer, flags = None, 0
        finally:
            self._spend(began)
        if came and (answer is None or flags & _socket.MSG_CTRUNC):
            for fd in came:
                os.close(fd)
            came = []
        return answer, came

    def _spend(self, began: float) -> None:
        self._patience = max(0.0, self._patience - (time.monotonic() - began))


def _descriptors(ancillary: Sequence[tuple[int, int, bytes]]) -> list[int]:
    fds = array("i")
    for level, kind, payload in ancillary:
        if level == _socket.SOL_SOCKET and kind == _socket.SCM_RIGHTS:
            fds.frombytes(payload[: len(payload) - len(payload) % fds.itemsize])
    return list(fds)
