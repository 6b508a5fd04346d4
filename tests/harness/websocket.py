"""A websocket's client (RFC 6455), as small as a test needs it: short texts, and how it ends."""

from __future__ import annotations

import base64
import os
import struct

from tests.harness.connections import Address, connected

_TEXT, _CLOSE, _PING, _PONG = 1, 8, 9, 10


class WebSocket:
    """Open, once it is made. ``path`` may be anything where an application asks for none."""

    def __init__(
        self, address: Address, path: str = "/websocket", timeout_secs: float = 60
    ) -> None:
        self._sock = connected(address, timeout_secs)
        self._file = self._sock.makefile("rb")
        key = base64.b64encode(os.urandom(16)).decode()
        self._sock.sendall(
            f"GET {path} HTTP/1.1\r\nHost: localhost\r\nOrigin: http://localhost\r\n"
            "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            f"Sec-WebSocket-Key: {key}\r\n\r\n".encode()
        )
        status = self._file.readline()
        assert b" 101 " in status, status
        while self._file.readline() not in (b"\r\n", b""):
            pass

    def echoed(self, text: str) -> str:
        """What comes back for ``text``."""
        self._send(_TEXT, text.encode())
        opcode, payload = self._frame()
        assert opcode == _TEXT, (text, opcode, payload)
        return payload.decode()

    def close(self) -> int | None:
        """End it as a client does; the code that the server answers."""
        self._send(_CLOSE, struct.pack("!H", 1000))
        return self.close_code()

    def close_code(self) -> int | None:
        """Wait for its end: the code in the server's close frame, None if there was none."""
        try:
            while True:
                opcode, payload = self._frame()
                if opcode == _CLOSE:
                    self._send(_CLOSE, payload)
                    return int(struct.unpack("!H", payload[:2])[0])
        except (EOFError, OSError):
            return None
        finally:
            self._file.close()
            self._sock.close()

    def _send(self, opcode: int, payload: bytes) -> None:
        mask = b"\0\0\0\0"  # which leaves the payload as it is
        self._sock.sendall(bytes([0x80 | opcode, 0x80 | len(payload)]) + mask + payload)

    def _frame(self) -> tuple[int, bytes]:
        """The next frame that is not about the connection being alive."""
        while True:
            head = self._file.read(2)
            if len(head) < 2:
                raise EOFError
            opcode, payload = head[0] & 0x0F, self._file.read(head[1] & 0x7F)
            if opcode == _PING:
                self._send(_PONG, payload)
            elif opcode != _PONG:
                return opcode, payload
