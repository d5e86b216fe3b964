"""Protobuf messages as lists of fields, for tests only: simple and unbounded."""

import struct

VARINT, FIXED_64, BYTES, FIXED_32 = 0, 1, 2, 5


def varint(number):
    more, number = number & 0x7F, number >> 7
    encoded = bytearray()
    while number:
        encoded.append(more | 0x80)
        more, number = number & 0x7F, number >> 7
    return bytes((*encoded, more))


def field(number, value):
    """Return the bytes of one field; an int becomes a varint, a text UTF-8."""
    if isinstance(value, int):
        return varint(number << 3 | VARINT) + varint(value)
    raw = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | BYTES) + varint(len(raw)) + raw


def read_varint(message, place):
    number = shift = 0
    while True:
        byte = message[place]
        number |= (byte & 0x7F) << shift
        place, shift = place + 1, shift + 7
        if byte < 0x80:
            return number, place


def fields(message):
    """Return number and value of every field."""
    found, place = [], 0
    while place < len(message):
        tag, place = read_varint(message, place)
        if tag & 7 == VARINT:
            value, place = read_varint(message, place)
        elif tag & 7 == BYTES:
            length, place = read_varint(message, place)
            value, place = message[place : place + length], place + length
        else:
            size = {FIXED_64: 8, FIXED_32: 4}[tag & 7]
            value, place = struct.unpack_from("q" if size == 8 else "i", message, place)
        found.append((tag >> 3, value))
    return found


def with_nested(message, changes):
    """Return the message with each of its nested messages changed.

    Args:
        message: has no fixed-size fields.
        changes: number of a field → function from its bytes to new ones.
    """
    return b"".join(
        field(number, changes[number](value) if number in changes else value)
        for number, value in fields(message)
    )
