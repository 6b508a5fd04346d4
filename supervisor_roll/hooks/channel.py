"""The way from a hook to the listener: one datagram there, one answer back, bounded in time."""

from __future__ import annotations

import _socket
import os
import time
from array import array

from supervisor_roll.rollout.errors import BadMessage
from supervisor_roll.wire.datagram import MAX_BYTES, SOCKET_VARIABLE, Message, decode, encode

# All the time that one process of Gunicorn ever waits for the listener, hung or dead. A
# listener that is there answers within milliseconds; one that is not refuses at once.
PATIENCE_SECS = 2.0
# An answer that has not come by then never will.
ANSWER_SECS = 5.0


class Channel:
    """Where this process says things to the listener.

    Built on ``_socket``, which gevent does not replace: a heartbeat may run where its hub
    cannot switch.
    """

    def __init__(self, patience_secs: float = PATIENCE_SECS) -> None:
        self.path = os.environ.get(SOCKET_VARIABLE, "")
        self._patience = patience_secs
        self._awaited: tuple[str, _socket.socket, float] | None = None

    def tell(self, message: Message) -> None:
        """Say ``message`` and want no answer. May be lost where the listener does not listen."""
        self._send(message, None)

    def ask(self, message: Message) -> Message | None:
        """Say ``message`` and return the answer; None if it has not come within our patience.

        Asking the same kind again first looks for the answer that is still out.
        """
        kind = message.kind
        if self._awaited is not None:
            awaited, socket, asked_at = self._awaited
            answer = self._receive(socket)
            if awaited == kind and (
                    answer is not None or time.monotonic() < asked_at + ANSWER_SECS):
                if answer is not None:
                    self.close()
                return answer
            self.close()
        mine, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
        try:
            sent = self._send(message, theirs)
        finally:
            theirs.close()
        if not sent:
            mine.close()
            return None
        self._awaited = kind, mine, time.monotonic()
        answer = self._receive(mine)
        if answer is not None:
            self.close()
        return answer

    def close(self) -> None:
        """Stop waiting for an answer."""
        if self._awaited is not None:
            self._awaited[1].close()
            self._awaited = None

    def _send(self, message: Message, theirs: _socket.socket | None) -> bool:
        if not self.path:
            return False
        ancillary = [] if theirs is None else [
            (_socket.SOL_SOCKET, _socket.SCM_RIGHTS, array("i", [theirs.fileno()]))]
        began = time.monotonic()
        socket = _socket.socket(_socket.AF_UNIX, _socket.SOCK_DGRAM)
        try:
            # Connected, since a full queue only shows in poll() on a connected socket.
            socket.settimeout(self._patience)
            socket.connect(self.path)
            socket.sendmsg([encode(message)], ancillary)
        except OSError:
            return False
        finally:
            socket.close()
            self._spend(began)
        return True

    def _receive(self, socket: _socket.socket) -> Message | None:
        began = time.monotonic()
        try:
            socket.settimeout(self._patience)
            data = socket.recv(MAX_BYTES)
            return decode(data) if data else None
        except (OSError, BadMessage):
            return None
        finally:
            self._spend(began)

    def _spend(self, began: float) -> None:
        self._patience = max(0.0, self._patience - (time.monotonic() - began))
