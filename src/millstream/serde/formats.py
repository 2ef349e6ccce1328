"""The formats by name."""

from __future__ import annotations

from millstream.errors import NotSupportedYetError
from millstream.serde.base import Format
from millstream.serde.delimited import DelimitedFormat
from millstream.serde.json import JsonFormat
from millstream.serde.kafka import KafkaFormat
from millstream.serde.none import NoneFormat

_FORMATS: dict[str, Format] = {
    f.name: f for f in (JsonFormat(), DelimitedFormat(), KafkaFormat(), NoneFormat())
}
_LATER = ("AVRO", "JSON_SR", "PROTOBUF", "PROTOBUF_NOSR")


def format_named(name: str) -> Format:
    """The format of this name, in any case.

    Raises NotSupportedYetError for a format of ksqlDB that is still to come, and ValueError, with
    the names there are, for anything else.
    """
    upper = name.upper()
    found = _FORMATS.get(upper)
    if found is not None:
        return found
    if upper in _LATER:
        raise NotSupportedYetError(f"Format {upper}")
    raise ValueError(f"There is no format {name}. The formats are {', '.join(format_names())}.")


def format_names() -> list[str]:
    """The names of the formats there are, sorted."""
    return sorted(_FORMATS)
