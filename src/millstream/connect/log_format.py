"""The Common and the Combined Log Format: lines to columns.

Source: https://httpd.apache.org/docs/current/logs.html. A line is

    host ident user [day/Mon/year:hh:mm:ss zone] "request" status bytes ["referrer" "agent" ..]

What follows the agent (some servers add fields) is passed over. `-` as bytes means that no body
was sent: 0, by the format's own definition (%b). A `-` as status is null.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from millstream.connect.log_plain import FIELDS, plain_lines

_QUOTED = r'(?:[^"\\]|\\.)*'
_PATTERN = (
    r'(?s)^(?P<ip>[^\s"]+) [^\s"]+ (?P<user>[^"]*?) '
    r"\[(?P<time>\d\d/[A-Za-z]{3}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4})\] "
    rf'"(?P<request>{_QUOTED})" (?P<status>\d{{3}}|-) (?P<bytes>\d{{1,18}}|-)'
    rf'(?P<more> "(?P<referrer>{_QUOTED})" "(?P<agent>{_QUOTED})"(?: .*)?)?\r?$'
)
_TEXT_FIELDS = ("ip", "user", "request", "referrer", "agent")
_MONTHS = b"JanFebMarAprMayJunJulAugSepOctNovDec"
_MONTH_OF = {_MONTHS[3 * m : 3 * m + 3]: m + 1 for m in range(12)}
_Change = Callable[[bytes], bytes]
_ESCAPE = re.compile(rb'\\(x[0-9a-fA-F]{2}|["\\nrtbfv])')
_ESCAPED = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"b": b"\b", b"f": b"\f", b"v": b"\v"}


@dataclass(slots=True)
class Clicks:
    """Well-formed lines. `row` is each one's index among the lines given.

    `time_ms` is the time in the line, in ms since 1970. `identity` (binary) tells visitors apart:
    the user the server knew, else host and agent. `user` is null where the server knew none.
    The others are texts as they stand between the quotes of a JSON text, escapes and all; `key`
    is the host's bytes.
    """

    row: np.ndarray
    time_ms: np.ndarray
    identity: pa.Array
    key: pa.Array
    user: pa.Array
    ip: pa.Array
    remote_user: pa.Array
    request: pa.Array
    status: pa.Array
    bytes: pa.Array
    referrer: pa.Array
    agent: pa.Array

    def __len__(self) -> int:
        return len(self.row)


def parse_lines(lines: pa.Array) -> Clicks:
    """The well-formed ones of the lines (a binary array)."""
    plain_row, plain = plain_lines(lines)
    if len(plain_row) == len(lines):
        return _clicks(plain_row, plain, np.empty(0, np.int64))
    other = np.ones(len(lines), bool)
    other[plain_row] = False
    other_row = np.flatnonzero(other)
    found, matched = match_lines(lines.take(pa.array(other_row)))
    row = np.concatenate([plain_row, other_row[found]])
    order = np.argsort(row)
    picked = pa.array(order)
    fields = {f: pa.concat_arrays([plain[f], matched[f]]).take(picked) for f in FIELDS}
    return _clicks(row[order], fields, np.flatnonzero(order >= len(plain_row)))


def match_lines(lines: pa.Array) -> tuple[np.ndarray, dict[str, pa.Array]]:
    """The indices of the lines that match the format's pattern, and their fields."""
    found = pc.extract_regex(lines, pattern=_PATTERN)
    row = np.flatnonzero(np.asarray(found.is_valid()))
    picked = found.take(pa.array(row))
    fields = {name: picked.field(name) for name in FIELDS}
    _dashes_where_common(fields, picked.field("more"))
    return row, fields


def _clicks(row: np.ndarray, fields: dict[str, pa.Array], special: np.ndarray) -> Clicks:
    """The lines' clicks. `special` lists those whose texts may not be plain."""
    time_ms, real = _times(fields["time"])
    if not real.all():
        kept = np.flatnonzero(real)
        special = np.flatnonzero(np.isin(kept, special))
        row, time_ms = row[kept], time_ms[kept]
        fields = {name: field.take(pa.array(kept)) for name, field in fields.items()}
    texts = {name: _json_text(fields[name], special) for name in _TEXT_FIELDS}
    has_user = np.asarray(pc.not_equal(fields["user"], pa.scalar(b"-", pa.binary())))
    return Clicks(
        row=row,
        time_ms=time_ms,
        identity=_identity(fields, has_user),
        key=_decoded(fields["ip"], special),
        user=pc.if_else(
            pa.array(has_user), _decoded(fields["user"], special), pa.scalar(None, pa.binary())
        ),
        ip=texts["ip"],
        remote_user=texts["user"],
        request=texts["request"],
        status=fields["status"],
        bytes=_or(fields["bytes"], b"0"),
        referrer=texts["referrer"],
        agent=texts["agent"],
    )


def why_malformed(line: bytes) -> str:
    """What is wrong with a line that `parse_lines` left out, in a sentence."""
    quotes = len(re.findall(rb'(?<!\\)"', line))
    if b"[" not in line or b"]" not in line:
        return "The line has no time in brackets, so it is no Common or Combined Log Format."
    if quotes % 2:
        return "A quote in the line is not closed; the line may be cut off."
    time = re.search(rb"\[([^\]]*)\]", line)
    if time is not None and not _is_time(time[1]):
        shown = time[1].decode(errors="replace")
        return f"The time [{shown}] is not of the form [31/Dec/2024:23:59:59 +0000]."
    return "The line is not of the Common or Combined Log Format."


def _is_time(text: bytes) -> bool:
    if re.fullmatch(rb"\d\d/[A-Za-z]{3}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}", text) is None:
        return False
    return bool(_times(pa.array([text], pa.binary()))[1][0])


def _times(texts: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """ms since 1970 of texts like `31/Dec/2024:23:59:59 +0000`, and which ones are real times."""
    width = 26
    fixed = texts.cast(pa.binary(width)) if len(texts) else pa.array([], pa.binary(width))
    data = np.frombuffer(fixed.buffers()[1] or b"", np.uint8)
    data = data[fixed.offset * width : (fixed.offset + len(fixed)) * width]
    digits = data.reshape(-1, width).astype(np.int64) - ord("0")

    def number(start: int, length: int) -> np.ndarray:
        value = np.zeros(len(digits), np.int64)
        for column in range(start, start + length):
            value = value * 10 + digits[:, column]
        return value

    month = _month_numbers(data.reshape(-1, width)[:, 3:6])
    day, year = number(0, 2), number(7, 4)
    hour, minute, second = number(12, 2), number(15, 2), number(18, 2)
    zone_minutes = number(22, 2) * 60 + number(24, 2)
    zone_minutes = np.where(digits[:, 21] == ord("-") - ord("0"), -zone_minutes, zone_minutes)
    real_month = np.clip(month, 1, 12)
    months = (year - 1970) * 12 + real_month - 1
    first_day = months.astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)
    next_first = (months + 1).astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)
    known = (month > 0) & (day >= 1) & (day <= next_first - first_day)
    known &= (hour < 24) & (minute < 60) & (second <= 60) & (number(24, 2) < 60)
    seconds = (first_day + day - 1) * 86_400 + hour * 3_600 + minute * 60 + second
    return (seconds - zone_minutes * 60) * 1_000, known


def _month_numbers(names: np.ndarray) -> np.ndarray:
    code = names[:, 0].astype(np.int64) << 16 | names[:, 1].astype(np.int64) << 8 | names[:, 2]
    month = np.zeros(len(code), np.int64)
    for name, number in _MONTH_OF.items():
        month[code == int.from_bytes(name, "big")] = number
    return month


def _dashes_where_common(fields: dict[str, pa.Array], more: pa.Array) -> None:
    """Give lines of the Common Log Format the `-` that the Combined one has for "none"."""
    is_common = pc.equal(pc.binary_length(more), 0)
    if pc.any(is_common).as_py():
        for name in ("referrer", "agent"):
            fields[name] = pc.if_else(is_common, pa.scalar(b"-", pa.binary()), fields[name])


def _json_text(field: pa.Array, special: np.ndarray) -> pa.Array:
    """The field as it stands between the quotes of a JSON text."""
    return _with(field, special, lambda raw: json.dumps(_text(raw))[1:-1].encode())


def _decoded(field: pa.Array, special: np.ndarray) -> pa.Array:
    """The field as UTF-8, escapes undone."""
    return _with(field, special, lambda raw: _text(raw).encode())


def _with(field: pa.Array, special: np.ndarray, change: _Change) -> pa.Array:
    if not len(special):
        return field
    changed = [change(raw) for raw in field.take(pa.array(special)).to_pylist()]
    mask = np.zeros(len(field), bool)
    mask[special] = True
    return pc.replace_with_mask(field, pa.array(mask), pa.array(changed, pa.binary()))


def _text(raw: bytes) -> str:
    """The text that a server wrote with escapes. Where undoing them gives no UTF-8, only the
    quotes' are undone, so that what the server wrote can still be read."""
    try:
        return _ESCAPE.sub(_unescaped, raw).decode()
    except UnicodeDecodeError:
        return raw.replace(b'\\"', b'"').decode(errors="replace")


def _unescaped(match: re.Match[bytes]) -> bytes:
    code = match[1]
    return bytes([int(code[1:], 16)]) if code[:1] == b"x" else _ESCAPED.get(code, code)


def _identity(fields: dict[str, pa.Array], has_user: np.ndarray) -> pa.Array:
    by_browser = pc.binary_join_element_wise(
        fields["ip"],
        fields["agent"],
        pa.scalar(b' "', pa.binary()),  # in no host
    )
    if not has_user.any():
        return by_browser
    by_user = pc.binary_join_element_wise(
        pa.scalar(b'"', pa.binary()), fields["user"], pa.scalar(b"", pa.binary())
    )
    return pc.if_else(pa.array(has_user), by_user, by_browser)


def _or(field: pa.Array, other: bytes) -> pa.Array:
    is_dash = pc.equal(field, pa.scalar(b"-", pa.binary()))
    return pc.if_else(is_dash, pa.scalar(other, pa.binary()), field)
