"""The DELIMITED format: one line of CSV.

The number of fields must be the number of columns; an empty field is null, in quotes or not.
STRINGs are taken as they stand, blanks included; numbers by Java's parsers; BOOLEAN is true for
`true` in any case, else false; BYTES are base64; DATE, TIME and TIMESTAMP are numbers.

A single column that is null is an empty line. Reading one gives null again, so that what was
written can be read; ksqlDB skips such a record.
"""

from __future__ import annotations

from collections.abc import Sequence
from string import ascii_letters, digits

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from millstream import types as t
from millstream.columns.arrow import nulls, true_mask, valid_mask
from millstream.columns.java_text import doubles_to_text
from millstream.serde.arrays import (
    blank_out,
    holds_byte,
    is_empty,
    null_where,
    nullify,
    offsets_and_data,
    text_scalar,
    utf8,
    with_missing,
)
from millstream.serde.base import Decoded, Decoder, Encoder, Failure, Layout
from millstream.serde.csv_text import CsvError, CsvReader, needs_quotes
from millstream.serde.json_encode import base64_texts, decimal_texts
from millstream.serde.rules import map_in_key, never_wrapped, unsupported_type
from millstream.serde.text_columns import values_of

_NAMED = {"SPACE": " ", "TAB": "\t"}
_LINE_END_OR_QUOTE = '["\r\n]'
_SPECIAL = tuple(b'"\r\n')
_LAST_BLANK = 0x20
_MARK, _EMPTY = text_scalar('"'), text_scalar("")
_BYTES = np.arange(256)
_QUOTED_HEADS = {
    True: ~np.isin(_BYTES, np.frombuffer(f"{digits}{ascii_letters}".encode(), np.uint8)),
    False: ord("#") >= _BYTES,
}
"""By the first byte, whether a text of the first column, or of another, is quoted."""


class DelimitedFormat:
    """A line of CSV, columns by their place."""

    name = "DELIMITED"

    def check(self, columns: Sequence[t.Column], *, is_key: bool) -> str | None:
        """See `Format.check`."""
        if is_key and (problem := map_in_key(columns)):
            return problem
        plain = frozenset(t.PRIMITIVES.values())
        return unsupported_type(self.name, columns, plain, decimals=True)

    def wrapping(self, wrap: bool | None, columns: Sequence[t.Column]) -> bool:
        """See `Format.wrapping`. True where nothing is set: a null column is no tombstone."""
        never_wrapped(self.name, wrap, columns)
        return wrap is None

    def decoder(self, layout: Layout) -> Decoder:
        """See `Format.decoder`."""
        return DelimitedDecoder(layout)

    def encoder(self, layout: Layout) -> Encoder:
        """See `Format.encoder`."""
        return DelimitedEncoder(layout)


def delimiter_named(text: str) -> str:
    """The delimiter that a KEY_DELIMITER or VALUE_DELIMITER property means.

    One character, or SPACE or TAB; raises ValueError with a sentence for anything else.
    """
    named = _NAMED.get(text.upper())
    if named is not None:
        return named
    if not text.strip():
        raise ValueError("The delimiter is blank. Write SPACE or TAB for these two characters.")
    if len(text) > 1:
        raise ValueError(f"The delimiter '{text}' has more than one character.")
    if text == '"':
        raise ValueError("The delimiter cannot be the double quote, which encloses fields.")
    return text


class DelimitedDecoder:
    """Decodes lines of CSV: plain lines by column, those with quotes one by one."""

    def __init__(self, layout: Layout) -> None:
        self._columns = layout.columns
        self._delimiter = _NAMED.get(layout.delimiter.upper(), layout.delimiter)
        self._reader = CsvReader(self._delimiter)
        self._wrapped = layout.wrap or len(layout.columns) > 1

    def decode(self, records: pa.Array, needed: Sequence[bool] | None = None) -> Decoded:
        """See `Decoder.decode`."""
        present = valid_mask(records)
        null = None if present.all() else ~present
        if not self._columns:
            return Decoded([], null)
        texts = utf8(records)
        plain = present.copy()
        if holds_byte(texts, *_SPECIAL):
            plain &= ~true_mask(pc.match_substring_regex(texts, _LINE_END_OR_QUOTE))
        if len(self._columns) > 1:
            plain &= ~is_empty(texts)
        failures: dict[int, str] = {}
        fields = self._split_plain(texts, plain, failures)
        self._split_others(texts, present & ~plain, fields, failures)
        arrays = self._values(fields, failures, needed)
        if failures:
            bad = np.zeros(len(records), bool)
            bad[list(failures)] = True
            arrays = [nullify(a, bad) for a in arrays]
        if not self._wrapped:
            # Unwrapped, a null column and a null part are the same.
            missing = is_empty(fields[0])
            null = missing | ~present if missing.any() else null
        ordered = [Failure(row, failures[row]) for row in sorted(failures)]
        return Decoded(arrays, null, ordered)

    def _split_plain(
        self, texts: pa.Array, plain: np.ndarray, failures: dict[int, str]
    ) -> list[pa.Array]:
        """The fields by column, null in rows that are not plain, are bad, or have none."""
        count = len(self._columns)
        rows = np.flatnonzero(plain)
        pieces = pc.split_pattern(texts.take(pa.array(rows)), self._delimiter)
        counts = pc.list_value_length(pieces).to_numpy(zero_copy_only=False)
        for index in np.flatnonzero(counts != count).tolist():
            failures[int(rows[index])] = self._wrong_count(int(counts[index]))
        # Every row becomes a place in the flat list of fields, or null.
        starts = np.zeros(len(texts), np.int64)
        starts[rows] = np.cumsum(counts) - counts
        unused = ~plain
        unused[rows[counts != count]] = True
        flat = pieces.flatten()
        return [flat.take(pa.array(starts + i, mask=unused)) for i in range(count)]

    def _split_others(
        self,
        texts: pa.Array,
        others: np.ndarray,
        fields: list[pa.Array],
        failures: dict[int, str],
    ) -> None:
        if not others.any():
            return
        count = len(self._columns)
        split: list[list[str] | None] = []
        rows = np.flatnonzero(others).tolist()
        for row, text in zip(rows, texts.filter(pa.array(others)).to_pylist(), strict=True):
            found = self._split(text)
            if isinstance(found, str):
                failures[row] = found
            split.append(None if isinstance(found, str) else found)
        for index in range(count):
            column = [None if fields_of is None else fields_of[index] for fields_of in split]
            mask = pa.array(others)
            fields[index] = pc.replace_with_mask(fields[index], mask, pa.array(column, pa.string()))

    def _split(self, text: str) -> list[str] | str:
        try:
            fields = self._reader.first_record(text)
        except CsvError as error:
            return f"The record is not a line of CSV: {error}."
        return fields if len(fields) == len(self._columns) else self._wrong_count(len(fields))

    def _wrong_count(self, count: int) -> str:
        return (
            f"The record has {count} field{'s' * (count != 1)}, but there are "
            f"{len(self._columns)} columns."
        )

    def _values(
        self, fields: list[pa.Array], failures: dict[int, str], needed: Sequence[bool] | None
    ) -> list[pa.Array]:
        arrays: list[pa.Array] = []
        for index, (column, texts) in enumerate(zip(self._columns, fields, strict=True)):
            empty = is_empty(texts)
            array, bad = values_of(nullify(texts, empty), column.type)
            for row in bad:
                found = texts[row].as_py()
                failures.setdefault(
                    row,
                    f"Column {column.name} takes {column.type}, but the record has the text "
                    f'"{found[:60]}".',
                )
            if needed is not None and not needed[index]:
                array = nulls(column.type, len(texts))
            arrays.append(array)
        return arrays


class DelimitedEncoder:
    """Encodes columns as lines of CSV."""

    def __init__(self, layout: Layout) -> None:
        self._columns = layout.columns
        self._delimiter = _NAMED.get(layout.delimiter.upper(), layout.delimiter)
        self._wrapped = layout.wrap or len(layout.columns) > 1

    def encode(self, arrays: list[pa.Array], null: np.ndarray | None, length: int) -> pa.Array:
        """See `Encoder.encode`."""
        if not self._wrapped:
            if not arrays:
                return pa.nulls(length, pa.binary())
            null = with_missing(arrays[0], null)
        if not arrays:
            lines = pa.repeat(_EMPTY, length)
        else:
            fields = [
                self._fields(array, column.type, first=index == 0)
                for index, (array, column) in enumerate(zip(arrays, self._columns, strict=True))
            ]
            lines = pc.binary_join_element_wise(*fields, text_scalar(self._delimiter))
        return null_where(lines.cast(pa.binary()), null)

    def normalise(
        self, arrays: list[pa.Array], null: np.ndarray | None
    ) -> tuple[list[pa.Array], np.ndarray | None]:
        """See `Encoder.normalise`: empty STRINGs and BYTES are read as null."""
        read = [
            nullify(a, is_empty(a)) if c.type in (t.STRING, t.BYTES) else a
            for a, c in zip(arrays, self._columns, strict=True)
        ]
        if not self._wrapped:
            if not arrays:
                return [], None if null is None else np.ones(len(null), bool)
            null = with_missing(read[0], null)
        return blank_out(read, null)

    def _fields(self, array: pa.Array, sql_type: t.SqlType, *, first: bool) -> pa.Array:
        texts = _texts(array, sql_type)
        quoted = self._quoted(texts, first=first)
        if quoted.any():
            doubled = pc.replace_substring(texts, '"', '""')
            in_quotes = pc.binary_join_element_wise(_MARK, doubled, _MARK, _EMPTY)
            texts = pc.if_else(pa.array(quoted), in_quotes, texts)
        return texts.fill_null(_EMPTY) if texts.null_count else texts

    def _quoted(self, texts: pa.Array, *, first: bool) -> np.ndarray:
        """Which texts are written in quotes."""
        delimiter = ord(self._delimiter)
        if delimiter > 0x7F or holds_byte(texts, delimiter, *_SPECIAL):
            pattern = needs_quotes(self._delimiter, first=first)
            return true_mask(pc.match_substring_regex(texts, pattern))
        # Without special characters inside, the first and the last byte decide.
        offsets, data = offsets_and_data(texts)
        filled = offsets[1:] > offsets[:-1]
        quoted = np.full(len(texts), first)
        heads, ends = data[offsets[:-1][filled]], data[offsets[1:][filled] - 1]
        quoted[filled] = _QUOTED_HEADS[first][heads] | (ends <= _LAST_BLANK)
        quoted &= valid_mask(texts)
        return quoted


def _texts(array: pa.Array, sql_type: t.SqlType) -> pa.Array:
    match sql_type:
        case t.STRING:
            return array
        case t.DOUBLE:
            return doubles_to_text(array)
        case t.BYTES:
            return base64_texts(array)
        case t.Decimal():
            return decimal_texts(array, sql_type)
    return array.cast(pa.string())
