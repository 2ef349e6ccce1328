"""The row decoder of JSON: the definition of what a JSON record means.

JSON is read strictly: text after the value, trailing commas, NaN, bad UTF-8 and nesting deeper
than `DEEPEST` levels make a record malformed. Of duplicate names the last one counts. A column
finds its name in the record exactly, else among the record's names in upper case; a name that is
missing is null. A value that its column cannot take fails the whole record. A mark of byte order in
front of UTF-8 is skipped.
"""

from __future__ import annotations

import re
from codecs import BOM_UTF8
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa

from millstream.columns.arrow import from_python, nulls
from millstream.serde.base import Decoded, Failure, Layout
from millstream.serde.json_reasons import sentence
from millstream.serde.json_values import Mismatch, converter, record_reader

DEEPEST = 400
"""How many arrays and objects may stand inside each other."""

_BRACKETS = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\Z)|[\[{]|[\]}]', re.DOTALL)


class JsonRowDecoder:
    """Decodes JSON records one after the other."""

    def __init__(self, layout: Layout) -> None:
        self._columns = layout.columns
        self._wrapped = layout.wrap or len(layout.columns) != 1
        # A number with a point or an exponent becomes a Decimal: exact, with its own scale.
        self._parse = msgspec.json.Decoder(float_hook=Decimal).decode
        self._read = record_reader([(c.name, c.type) for c in layout.columns])
        self._convert = None if self._wrapped else converter(layout.columns[0].type)
        self._ignored = not layout.columns and not layout.wrap

    def decode(self, records: pa.Array, needed: Sequence[bool] | None = None) -> Decoded:
        """See `Decoder.decode`."""
        length = len(records)
        values: list[list[Any]] = [[None] * length for _ in self._columns]
        null = np.zeros(length, bool)
        failures: list[Failure] = []
        for row, data in enumerate(records.to_pylist()):
            outcome = None if data is None else self.read(data)
            if outcome is None:
                null[row] = True
            elif isinstance(outcome, str):
                failures.append(Failure(row, outcome))
            else:
                for column, value in zip(values, outcome, strict=True):
                    column[row] = value
        arrays = [
            from_python(column, c.type)
            if needed is None or needed[index]
            else nulls(c.type, length)
            for index, (column, c) in enumerate(zip(values, self._columns, strict=True))
        ]
        return Decoded(arrays, null if null.any() else None, failures)

    def read(self, data: bytes) -> list[Any] | str | None:
        """One record: its values, None where it is JSON's null, or what is wrong with it."""
        try:
            if self._ignored:
                return []
            if data.count(b"[") + data.count(b"{") > DEEPEST and _depth(data) > DEEPEST:
                return _too_deep()
            record = self._parse(data)
            if record is None:
                return None
            if self._convert is not None:
                return [self._convert(record)]
            if type(record) is not dict:
                raise Mismatch("a JSON object", record)
            return self._read(record)
        except Mismatch as mismatch:
            if self._convert is not None:
                mismatch.within(self._columns[0].name)
            return mismatch.sentence()
        except RecursionError:
            return _too_deep()
        except (msgspec.MsgspecError, ValueError, ArithmeticError) as error:
            if data.startswith(BOM_UTF8) and not data.startswith(BOM_UTF8 * 2):
                return self.read(data[len(BOM_UTF8) :])
            return sentence(error, data)


def _depth(data: bytes) -> int:
    depth = deepest = 0
    for match in _BRACKETS.finditer(data):
        token = match[0]
        if token in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        elif token in b"]}":
            depth -= 1
    return deepest


def _too_deep() -> str:
    return f"The record nests arrays and objects deeper than {DEEPEST} levels."
