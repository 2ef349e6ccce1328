"""One CSV record as text: split into fields, and a field written with quotes where it needs them.

The rules are those of Apache Commons CSV in its default format, which ksqlDB's DELIMITED uses:
fields may stand in double quotes, a quote inside is doubled, empty lines before the record are
skipped, blanks belong to the field.
"""

from __future__ import annotations

import re

_JAVA_WHITESPACE = frozenset(
    "\t\n\x0b\x0c\r\x1c\x1d\x1e\x1f \u1680\u2028\u2029\u205f\u3000"
    + "".join(map(chr, range(0x2000, 0x2007)))
    + "\u2008\u2009\u200a"
)


class CsvError(Exception):
    """The text is not CSV: why, as the end of a sentence."""


class CsvReader:
    """Splits records at one delimiter."""

    def __init__(self, delimiter: str) -> None:
        self._delimiter = delimiter
        self._end = re.compile(f"[{re.escape(delimiter)}\r\n]")

    def first_record(self, text: str) -> list[str]:
        """The fields of the first record; raises CsvError where any line cannot be read."""
        first: list[str] | None = None
        at = _skip_line_ends(text, 0)
        while at < len(text):
            fields, at = self._record(text, at)
            first = first if first is not None else fields
            at = _skip_line_ends(text, at)
        if first is None:
            raise CsvError("it has no fields")
        return first

    def _record(self, text: str, at: int) -> tuple[list[str], int]:
        fields: list[str] = []
        while True:
            if text.startswith('"', at):
                field, at = self._quoted(text, at + 1)
            else:
                end = self._end.search(text, at)
                stop = len(text) if end is None else end.start()
                field, at = text[at:stop], stop
            fields.append(field)
            if at >= len(text) or text[at] != self._delimiter:
                return fields, at
            at += 1

    def _quoted(self, text: str, at: int) -> tuple[str, int]:
        parts: list[str] = []
        while True:
            stop = text.find('"', at)
            if stop < 0:
                raise CsvError("a quoted field does not end")
            parts.append(text[at:stop])
            at = stop + 1
            if not text.startswith('"', at):
                break
            parts.append('"')
            at += 1
        while at < len(text) and text[at] != self._delimiter and text[at] not in "\r\n":
            if text[at] not in _JAVA_WHITESPACE:
                raise CsvError("text follows the end of a quoted field")
            at += 1
        return "".join(parts), at


def needs_quotes(delimiter: str, *, first: bool) -> str:
    """A regular expression that finds the fields to be written in quotes.

    They are those with a delimiter, a quote or a line end, with a blank or a control character at
    the end, or with a character up to `#` at the start. In the first column any start but an ASCII
    letter or digit asks for quotes, and so does an empty text, which would be no field at all.
    """
    start = r"\A(?:[^0-9A-Za-z]|\z)" if first else r"\A[\x00-#]"
    return rf'{start}|[\r\n"{re.escape(delimiter)}]|[\x00- ]\z'


def _skip_line_ends(text: str, at: int) -> int:
    while at < len(text) and text[at] in "\r\n":
        at += 1
    return at
