"""The JSON format."""

from __future__ import annotations

from collections.abc import Sequence

from millstream import types as t
from millstream.serde.base import Decoder, Encoder, Layout
from millstream.serde.json_encode import JsonEncoder
from millstream.serde.json_rows import JsonRowDecoder
from millstream.serde.rules import map_in_key, single_value_wrapping


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
        return JsonRowDecoder(layout)

    def encoder(self, layout: Layout) -> Encoder:
        """See `Format.encoder`."""
        return JsonEncoder(layout)


def _has_other_map_keys(sql_type: t.SqlType) -> bool:
    match sql_type:
        case t.Map(key, value):
            return key != t.STRING or _has_other_map_keys(value)
        case t.Array(item):
            return _has_other_map_keys(item)
        case t.Struct(fields):
            return any(_has_other_map_keys(f.type) for f in fields)
    return False
