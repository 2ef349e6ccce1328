"""Functions between BYTES, text and numbers; UUID."""

from __future__ import annotations

import base64
import re
import struct
import uuid

from millstream import types as t
from millstream.functions.registry import ScalarFunction, Variant

S, B = t.STRING, t.BYTES
_NAMES = ("hex", "utf8", "ascii", "base64")
_HEX_QUOTED = re.compile(r"[xX]'(.*)'\Z", re.DOTALL)


def _encoding(name: str) -> str:
    lowered = name.lower()
    if lowered not in _NAMES:
        raise ValueError(f"'{name}' is no encoding; use hex, utf8, ascii or base64")
    return lowered


def _hex_digits(text: str) -> str:
    if text.startswith("0x"):
        return ("0" if len(text) % 2 else "") + text[2:]
    quoted = _HEX_QUOTED.match(text)
    return text if quoted is None else quoted[1]


def _from_hex(text: str) -> bytes:
    if any(c.isspace() for c in text):
        raise ValueError(f"'{text}' is not hexadecimal")
    return bytes.fromhex(text)


def _base64_leniently(text: str) -> bytes:
    kept = re.sub(r"[^A-Za-z0-9+/]", "", text.replace("-", "+").replace("_", "/").split("=")[0])
    kept = kept[: len(kept) - (len(kept) % 4 == 1)]
    return base64.b64decode(kept + "=" * (-len(kept) % 4))


def _ascii_bytes(text: str) -> bytes:
    return text.encode("ascii", "replace")


def _ascii_text(value: bytes) -> str:
    return value.decode("ascii", "replace")


def _encode(text: str, source: str, target: str) -> str:
    from_name, to_name = _encoding(source), _encoding(target)
    if from_name == to_name:
        raise ValueError("ENCODE needs two different encodings")
    if from_name == "hex":
        value = _from_hex(_hex_digits(text))
    elif from_name == "base64":
        value = _base64_leniently(text)
    else:
        value = text.encode() if from_name == "utf8" else _ascii_bytes(text)
    if to_name == "hex":
        return value.hex()
    if to_name == "base64":
        return base64.b64encode(value).decode("ascii")
    return value.decode("utf-8", "replace") if to_name == "utf8" else _ascii_text(value)


def _to_bytes(text: str, encoding: str) -> bytes:
    name = _encoding(encoding)
    if name == "hex":
        return _from_hex(_hex_digits(text))
    if name == "base64":
        return base64.b64decode(text, validate=True)
    return text.encode() if name == "utf8" else _ascii_bytes(text)


def _from_bytes(value: bytes, encoding: str) -> str:
    name = _encoding(encoding)
    if name == "hex":
        return value.hex().upper()
    if name == "base64":
        return base64.b64encode(value).decode("ascii")
    return value.decode("utf-8", "replace") if name == "utf8" else _ascii_text(value)


def _order(name: str) -> str:
    if name not in ("BIG_ENDIAN", "LITTLE_ENDIAN"):
        raise ValueError(f"'{name}' is no byte order; use BIG_ENDIAN or LITTLE_ENDIAN")
    return ">" if name == "BIG_ENDIAN" else "<"


def _unpacked(value: bytes, code: str, order: str) -> float:
    size = struct.calcsize(code)
    if len(value) != size:
        raise ValueError(f"{size} bytes are needed, and there are {len(value)}")
    number: float = struct.unpack(_order(order) + code, value)[0]
    return number


def _int_from_bytes(value: bytes, order: str = "BIG_ENDIAN") -> int:
    return int(_unpacked(value, "i", order))


def _bigint_from_bytes(value: bytes, order: str = "BIG_ENDIAN") -> int:
    return int(_unpacked(value, "q", order))


def _double_from_bytes(value: bytes, order: str = "BIG_ENDIAN") -> float:
    return _unpacked(value, "d", order)


def _random_uuid() -> str:
    return str(uuid.uuid4())


def _uuid_of(value: bytes) -> str | None:
    return str(uuid.UUID(bytes=value)) if len(value) == 16 else None


FUNCTIONS = (
    ScalarFunction(
        "ENCODE", "string", "A text in one encoding (hex, utf8, ascii, base64) in another.",
        (Variant((S, S, S), S, _encode),), (("ENCODE('436c6f7564', 'hex', 'utf8')", "'Cloud'"),),
    ),
    ScalarFunction(
        "TO_BYTES", "string", "The bytes that a text in an encoding stands for.",
        (Variant((S, S), B, _to_bytes),), (("TO_BYTES('Cloud', 'utf8')", "Q2xvdWQ="),),
    ),
    ScalarFunction(
        "FROM_BYTES", "string", "Bytes as text in an encoding.",
        (Variant((B, S), S, _from_bytes),), (("FROM_BYTES(b, 'hex')", "'43'"),),
    ),
    ScalarFunction(
        "INT_FROM_BYTES", "conversions", "Four bytes as INTEGER, big endian unless told.",
        (Variant((B,), t.INTEGER, _int_from_bytes), Variant((B, S), t.INTEGER, _int_from_bytes)),
        (("INT_FROM_BYTES(b, 'LITTLE_ENDIAN')", "2021"),),
    ),
    ScalarFunction(
        "BIGINT_FROM_BYTES", "conversions", "Eight bytes as BIGINT, big endian unless told.",
        (
            Variant((B,), t.BIGINT, _bigint_from_bytes),
            Variant((B, S), t.BIGINT, _bigint_from_bytes),
        ),
        (("BIGINT_FROM_BYTES(b)", "5000000000"),),
    ),
    ScalarFunction(
        "DOUBLE_FROM_BYTES", "conversions", "Eight bytes as DOUBLE, big endian unless told.",
        (
            Variant((B,), t.DOUBLE, _double_from_bytes),
            Variant((B, S), t.DOUBLE, _double_from_bytes),
        ),
        (("DOUBLE_FROM_BYTES(b)", "532.8738323"),),
    ),
    ScalarFunction(
        "UUID", "string", "A random UUID, or the text of sixteen bytes as one.",
        (Variant((), S, _random_uuid, deterministic=False), Variant((B,), S, _uuid_of)),
        (("UUID()", "'f5a9e3b0-7c1d-4e2f-9a8b-0c1d2e3f4a5b'"),),
    ),
)  # fmt: skip
"""The family."""
