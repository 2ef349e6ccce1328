"""Reads the text of a schema, as post conditions write it: `ID BIGINT KEY, V STRUCT<A INT>`."""

from __future__ import annotations

import re
from dataclasses import dataclass

from millstream import types as t

_TOKEN = re.compile(
    r"""\s*(?:`((?:[^`]|``)*)`|"((?:[^"]|"")*)"|(\d+)(?![\w@])|([\w@]+)|([<>(),]))"""
)
_TEXT = re.compile(r"'((?:[^']|'')*)'")


class SchemaTextError(Exception):
    """The text is not a schema."""


@dataclass
class _Reader:
    text: str
    place: int = 0

    def peek(self) -> tuple[str, str]:
        """The next token as (kind, text); kind is name, word, number, mark or end."""
        match = _TOKEN.match(self.text, self.place)
        if match is None:
            if self.text[self.place :].strip():
                raise SchemaTextError(f"not a schema: {self.text!r} at {self.place}")
            return "end", ""
        for kind, group in zip(
            ("name", "name", "number", "word", "mark"), match.groups(), strict=True
        ):
            if group is not None:
                return kind, group
        raise AssertionError

    def take(self) -> tuple[str, str]:
        """The next token, and move behind it."""
        token = self.peek()
        match = _TOKEN.match(self.text, self.place)
        self.place = match.end() if match else len(self.text)
        return token

    def accept(self, text: str) -> bool:
        """Move behind the next token where it is this mark or word."""
        kind, found = self.peek()
        if kind in ("word", "mark") and found.upper() == text:
            self.take()
            return True
        return False

    def expect(self, text: str) -> None:
        """Move behind this mark or word; SchemaTextError where something else comes."""
        if not self.accept(text):
            raise SchemaTextError(f"{text} expected in {self.text!r} at {self.place}")

    def name(self) -> str:
        """A name: quoted as written, else in upper case."""
        kind, text = self.take()
        if kind == "name":
            return text.replace("``", "`").replace('""', '"')
        if kind == "word":
            return text.upper()
        raise SchemaTextError(f"a name expected in {self.text!r} at {self.place}")

    def number(self) -> int:
        """A whole number."""
        kind, text = self.take()
        if kind != "number":
            raise SchemaTextError(f"a number expected in {self.text!r} at {self.place}")
        return int(text)

    def quoted(self) -> str:
        """A text in single quotes."""
        match = _TEXT.match(self.text, self.place)
        if match is None:
            raise SchemaTextError(f"a text expected in {self.text!r} at {self.place}")
        self.place = match.end()
        return match[1].replace("''", "'")


def read_schema(text: str) -> t.Schema:
    """The columns of the text; SchemaTextError where it is not a schema."""
    reader = _Reader(text)
    columns = []
    while reader.peek()[0] != "end":
        columns.append(_column(reader))
        if reader.peek()[0] != "end":
            reader.expect(",")
    return t.Schema(tuple(columns))


def _column(reader: _Reader) -> t.Column:
    name = reader.name()
    sql_type = _type(reader)
    if reader.accept("PRIMARY") or reader.peek()[1].upper() == "KEY":
        reader.expect("KEY")
        return t.Column(name, sql_type, t.Role.KEY)
    if reader.accept("HEADERS"):
        return t.Column(name, sql_type, t.Role.HEADERS)
    if reader.accept("HEADER"):
        reader.expect("(")
        header = reader.quoted()
        reader.expect(")")
        return t.Column(name, sql_type, t.Role.HEADERS, header)
    return t.Column(name, sql_type)


def _type(reader: _Reader) -> t.SqlType:
    word = reader.name()
    match word:
        case "DECIMAL" | "DEC" | "NUMERIC":
            reader.expect("(")
            precision = reader.number()
            reader.expect(",")
            scale = reader.number()
            reader.expect(")")
            return t.Decimal(precision, scale)
        case "ARRAY":
            reader.expect("<")
            item = _type(reader)
            reader.expect(">")
            return t.Array(item)
        case "MAP":
            reader.expect("<")
            key = _type(reader)
            reader.expect(",")
            value = _type(reader)
            reader.expect(">")
            return t.Map(key, value)
        case "STRUCT":
            return t.Struct(tuple(_fields(reader)))
    if word not in t.PRIMITIVES:
        raise SchemaTextError(f"{word} is not a type in {reader.text!r}")
    return t.PRIMITIVES[word]


def _fields(reader: _Reader) -> list[t.Field]:
    reader.expect("<")
    fields: list[t.Field] = []
    while not reader.accept(">"):
        if fields:
            reader.expect(",")
        name = reader.name()
        fields.append(t.Field(name, _type(reader)))
    return fields
