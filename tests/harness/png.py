"""The pixels of a picture that a browser has taken: 8 bits each of red, green and blue."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

_CHANNELS = {2: 3, 6: 4}  # with alpha


class Png:
    """One that is not interlaced, as Chromium writes them."""

    def __init__(self, path: Path) -> None:
        data = path.read_bytes()
        self.width, self.height, depth, colours = struct.unpack(">IIBB", data[16:26])
        assert (depth, data[28]) == (8, 0)
        self._bytes = _CHANNELS[colours]
        packed, at = b"", 8
        while at < len(data):
            [size] = struct.unpack(">I", data[at : at + 4])
            packed += data[at + 8 : at + 8 + size] if data[at + 4 : at + 8] == b"IDAT" else b""
            at += size + 12
        self._rows = self._unfiltered(zlib.decompress(packed))

    def at(self, x: float, y: float) -> tuple[int, int, int]:
        """Return the colour of a pixel."""
        left = int(x) * self._bytes
        red, green, blue = self._rows[int(y)][left : left + 3]
        return red, green, blue

    def _unfiltered(self, raw: bytes) -> list[bytearray]:
        size, step = self.width * self._bytes, self._bytes
        rows, above = [], bytearray(size)
        for start in range(0, len(raw), size + 1):
            kind, row = raw[start], bytearray(raw[start + 1 : start + 1 + size])
            for i in range(size):
                left, corner = (row[i - step], above[i - step]) if i >= step else (0, 0)
                row[i] = (row[i] + _predicted(kind, left, above[i], corner)) % 256
            rows.append(row)
            above = row
        return rows


def _predicted(kind: int, left: int, above: int, corner: int) -> int:
    if kind == 4:
        guess = left + above - corner
        return min((left, above, corner), key=lambda one: abs(guess - one))
    return (0, left, above, (left + above) // 2)[kind]
