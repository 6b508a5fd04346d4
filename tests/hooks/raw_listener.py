"""The listener's end of the channel, bare."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from supervisor_roll.wire.datagram import decode, encode
from supervisor_roll.wire.messages import Message, Ready


class RawListener:
    """The listener's end, bare: what is sent, and the sender's own socket for the answer."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(exist_ok=True)
        self.path = directory / str(os.geteuid())
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.settimeout(30)
        self._socket.bind(str(self.path))
        self.taken: list[tuple[Message, list[socket.socket]]] = []

    def take(self) -> tuple[Message, list[socket.socket]]:
        data, fds, _, _ = socket.recv_fds(self._socket, 65536, 4)
        self.taken.append((decode(data), [socket.socket(fileno=fd) for fd in fds]))
        return self.taken[-1]

    def answer(self, data: bytes) -> Message:
        """Take one message and answer it with ``data``; the message."""
        message, answers = self.take()
        for one in answers:
            one.send(data)
            one.close()
        return message

    def holds_nothing(self) -> bool:
        self._socket.setblocking(False)
        try:
            self.take()
        except BlockingIOError:
            return True
        finally:
            self._socket.settimeout(30)
        return False

    def fill(self) -> None:
        """Let the queue be as full as the kernel lets it."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.connect(str(self.path))
            sender.setblocking(False)
            try:
                while True:
                    sender.send(encode(Ready()))
            except BlockingIOError:
                pass

    def close(self) -> None:
        for _, answers in self.taken:
            for one in answers:
                one.close()
        self._socket.close()
