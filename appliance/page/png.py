"""Writes a 1-bit picture as PNG without an imaging library."""

import struct
import zlib

from appliance.display.bitmap import Picture

SIGNATURE = b"\x89PNG\r\n\x1a\n"


def png(picture: Picture) -> bytes:
    """Return the picture as a greyscale PNG of bit depth 1; set bits are white.

    Source: PNG specification, third edition: 5.3 chunks, 11.2.1 IHDR, 7.3 filter bytes.
    """
    stride = picture.width // 8
    rows = (picture.bits[y * stride : (y + 1) * stride] for y in range(picture.height))
    header = struct.pack(">IIBBBBB", picture.width, picture.height, 1, 0, 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + row for row in rows))
    chunks = ((b"IHDR", header), (b"IDAT", data), (b"IEND", b""))
    return SIGNATURE + b"".join(_chunk(name, body) for name, body in chunks)


def _chunk(name: bytes, body: bytes) -> bytes:
    checksum = zlib.crc32(name + body)
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", checksum)
