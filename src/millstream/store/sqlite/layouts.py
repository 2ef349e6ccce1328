"""Layouts of record parts as JSON, and the Arrow types of their columns."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa

from millstream import types as t
from millstream.columns.arrow import arrow_type
from millstream.serde.base import Layout


class KnownLayout:
    """A layout and the Arrow types of its columns; one object for all layouts that are equal.

    Hashing a layout walks through all its columns, which a commit of one record cannot afford for
    each part; these compare by identity.
    """

    __slots__ = ("is_flat", "layout", "types")

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.types: tuple[pa.DataType, ...] = tuple(arrow_type(c.type) for c in layout.columns)
        self.is_flat = all(t.num_fields == 0 for t in self.types)
        """Whether no column is nested."""


_known: dict[Layout, KnownLayout] = {}
_by_identity: dict[int, tuple[Layout, KnownLayout]] = {}
_MOST_IDENTITIES = 4096


def know(layout: Layout) -> KnownLayout:
    """The one object for this layout."""
    found = _by_identity.get(id(layout))
    # The entry keeps its layout alive, so that its identity is not given to another one.
    if found is not None and found[0] is layout:
        return found[1]
    known = _known.get(layout)
    if known is None:
        known = _known.setdefault(layout, KnownLayout(layout))
    if len(_by_identity) >= _MOST_IDENTITIES:
        _by_identity.clear()
    _by_identity[id(layout)] = (layout, known)
    return known


def dump_layout(layout: Layout) -> str:
    """A layout as JSON text."""
    return json.dumps(
        {
            "format": layout.format,
            "columns": [_dump_column(c) for c in layout.columns],
            "wrap": layout.wrap,
            "delimiter": layout.delimiter,
        },
        separators=(",", ":"),
    )


def load_layout(text: str) -> Layout:
    """The opposite of `dump_layout`."""
    content = json.loads(text)
    return Layout(
        content["format"],
        tuple(_load_column(c) for c in content["columns"]),
        content["wrap"],
        content["delimiter"],
    )


def _dump_column(column: t.Column) -> list[Any]:
    return [column.name, _dump_type(column.type), column.role.value, column.header]


def _load_column(content: list[Any]) -> t.Column:
    name, sql_type, role, header = content
    return t.Column(name, _load_type(sql_type), t.Role(role), header)


def _dump_type(sql_type: t.SqlType) -> Any:
    match sql_type:
        case t.Primitive(name):
            return name
        case t.Decimal(precision, scale):
            return {"decimal": [precision, scale]}
        case t.Array(item):
            return {"array": _dump_type(item)}
        case t.Map(key, value):
            return {"map": [_dump_type(key), _dump_type(value)]}
        case t.Struct(fields):
            return {"struct": [[f.name, _dump_type(f.type)] for f in fields]}
    raise TypeError(f"{sql_type} is no type of a stored column")


def _load_type(content: Any) -> t.SqlType:
    if isinstance(content, str):
        return t.PRIMITIVES[content]
    ((kind, inner),) = content.items()
    match kind:
        case "decimal":
            return t.Decimal(*inner)
        case "array":
            return t.Array(_load_type(inner))
        case "map":
            return t.Map(_load_type(inner[0]), _load_type(inner[1]))
        case "struct":
            return t.Struct(tuple(t.Field(n, _load_type(f)) for n, f in inner))
    raise TypeError(f"unknown type {kind} in a stored layout")
