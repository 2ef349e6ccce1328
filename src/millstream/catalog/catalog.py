"""The catalogue: what exists, by name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from millstream import types as t
from millstream.catalog.model import ConnectorInfo, CustomType, QueryInfo, Source
from millstream.catalog.names import Names
from millstream.errors import Position, SemanticError
from millstream.sql.script import parse_type


@dataclass
class Catalog:
    """All streams, tables, queries, connectors and types; order of creation is kept."""

    sources: Names[Source] = field(default_factory=Names)
    queries: Names[QueryInfo] = field(default_factory=Names)
    connectors: Names[ConnectorInfo] = field(default_factory=Names)
    types: Names[CustomType] = field(default_factory=Names)

    def copy(self) -> Catalog:
        """A catalogue that can be changed without changing this one."""
        return Catalog(
            self.sources.copy(), self.queries.copy(), self.connectors.copy(), self.types.copy()
        )

    def source(self, name: str) -> Source:
        """The stream or table of this name; SemanticError with the nearest names where unknown."""
        found = self.sources.get(name)
        if found is None:
            raise SemanticError(
                f"there is no stream or table {t.quote_name(name)}",
                hint=did_you_mean(name, self.sources),
            )
        return found

    def readers(self, source_name: str) -> list[QueryInfo]:
        """The queries that read a stream or table."""
        return [q for q in self.queries.values() if source_name in q.sources]

    def writers(self, source_name: str) -> list[QueryInfo]:
        """The queries that write into a stream or table."""
        return [q for q in self.queries.values() if q.sink == source_name]

    def known(self, names: Iterable[str]) -> tuple[dict[str, int], dict[str, str]]:
        """How many value columns some streams and tables have, and what all custom types are."""
        widths = {n: len(self.sources[n].schema.value) for n in names if n in self.sources}
        return widths, {c.name: str(c.type) for c in self.types.values()}

    def as_of(self, query: QueryInfo) -> Catalog:
        """The catalogue as far as a query knows it: without columns that came later, and with the
        custom types of then."""
        sources = self.sources.copy()
        for name, width in query.widths.items():
            if name in sources:
                sources[name] = sources[name].as_of(width)
        types = {n: CustomType(0, n, parse_type(text)) for n, text in query.types.items()}
        return Catalog(sources, self.queries, self.connectors, Names(types))

    def resolve_type(self, sql_type: t.SqlType) -> t.SqlType:
        """The type with all names of custom types replaced by what they stand for."""
        match sql_type:
            case t.NamedType(name):
                custom = self.types.get(name)
                if custom is None:
                    raise SemanticError(
                        f"there is no type {t.quote_name(name)}",
                        hint=did_you_mean(name, [*self.types, *t.PRIMITIVES]),
                    )
                return custom.type
            case t.Array(item):
                return t.Array(self.resolve_type(item))
            case t.Map(key, value):
                return t.Map(self.resolve_type(key), self.resolve_type(value))
            case t.Struct(fields):
                return t.Struct(tuple(replace(f, type=self.resolve_type(f.type)) for f in fields))
        return sql_type


def unknown(word: str, name: str, known: Iterable[str], position: Position | None) -> SemanticError:
    """The error for a name that nothing of its kind has, with the nearest names there are."""
    return SemanticError(f"there is no {word} {name}", position, hint=did_you_mean(name, known))


def did_you_mean(name: str, known: Iterable[str] | Mapping[str, object]) -> str | None:
    """A hint with the names nearest to a misspelt one, or None."""
    names = list(known)
    exact = [n for n in names if n.upper() == name.upper()]
    near = exact or difflib.get_close_matches(name.upper(), names, n=3, cutoff=0.6)
    return f"Did you mean {', '.join(near)}?" if near else None
