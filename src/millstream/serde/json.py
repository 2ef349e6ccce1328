"""The JSON format."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from millstream import types as t
from millstream.serde.base import Decoded, Decoder, Encoder, Layout
from millstream.serde.json_bulk import JsonBulkDecoder
from millstream.serde.json_encode import JsonEncoder
from millstream.serde.json_rows import JsonRowDecoder
from millstream.serde.rules import map_in_key, single_value_wrapping

_FEW = 96
"""Below this many records the bulk decoder's fixed cost does not pay."""


class JsonFormat:
    """JSON records: objects by column name, or the bare value of a single column."""

    name = "JSON"

    def check(self, columns: Sequence[t.Column], *, is_key: bool) -> str | None:
        """See `Format.check`."""
        if is_key and (problem := map_in_key(columns)):
            return problem
        for column in columns:
            if _has_other_map_keys(column.type):
                return (
                    f"JSON takes only MAPs whose keys are STRINGs, but column "
                    f"{t.quote_name(column.name)} is {column.type}."
                )
        return None

    def wrapping(self, wrap: bool | None, columns: Sequence[t.Column]) -> bool:
        """See `Format.wrapping`."""
        return single_value_wrapping(wrap, columns)

    def decoder(self, layout: Layout) -> Decoder:
        """See `Format.decoder`."""
        return JsonDecoder(layout)

    def encoder(self, layout: Layout) -> Encoder:
        """See `Format.encoder`."""
        return JsonEncoder(layout)


class JsonDecoder:
    """Decodes many records in bulk and few row by row; the outcome is the same."""

    def __init__(self, layout: Layout) -> None:
        self._rows = JsonRowDecoder(layout)
        bulk = layout.columns and (layout.wrap or len(layout.columns) > 1)
        self._bulk = JsonBulkDecoder(layout, self._rows) if bulk else None

    def decode(self, records: pa.Array, needed: Sequence[bool] | None = None) -> Decoded:
        """See `Decoder.decode`."""
        if self._bulk is None or len(records) < _FEW:
            return self._rows.decode(records, needed)
        return self._bulk.decode(records, needed)


def _has_other_map_keys(sql_type: t.SqlType) -> bool:
    match sql_type:
        case t.Map(key, value):
            return key != t.STRING or _has_other_map_keys(value)
        case t.Array(item):
            return _has_other_map_keys(item)
        case t.Struct(fields):
            return any(_has_other_map_keys(f.type) for f in fields)
    return False
