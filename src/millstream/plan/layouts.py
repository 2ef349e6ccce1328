"""From formats' names and columns to layouts, with the formats' rules enforced."""

from __future__ import annotations

from collections.abc import Sequence

from millstream.errors import NotSupportedYetError, Position, SemanticError
from millstream.plan.properties import Properties
from millstream.serde.base import Format, Layout
from millstream.serde.formats import format_named
from millstream.types import Column

DEFAULT_KEY_FORMAT = "ksql.persistence.default.format.key"
DEFAULT_VALUE_FORMAT = "ksql.persistence.default.format.value"
DEFAULT_WRAPPING = "ksql.persistence.wrap.single.values"


def find_format(name: str, position: Position | None) -> Format:
    """The format of this name; SemanticError where there is none."""
    try:
        return format_named(name)
    except NotSupportedYetError as error:
        raise NotSupportedYetError(error.construct, position) from None
    except ValueError as error:
        raise SemanticError(str(error), position) from None


def key_layout(
    name: str, columns: Sequence[Column], delimiter: str | None, position: Position | None
) -> Layout:
    """The layout of a key; the format must be able to carry it."""
    form = find_format(name, position)
    _check(form, columns, is_key=True, position=position)
    _check_delimiter("KEY_DELIMITER", form, delimiter, position)
    return Layout(form.name, tuple(columns), wrap=len(columns) > 1, delimiter=delimiter or ",")


def value_layout(
    name: str,
    columns: Sequence[Column],
    wrap: bool | None,
    delimiter: str | None,
    position: Position | None,
) -> Layout:
    """The layout of a value. `wrap` is WRAP_SINGLE_VALUE, None where it is not written."""
    form = find_format(name, position)
    _check(form, columns, is_key=False, position=position)
    _check_delimiter("VALUE_DELIMITER", form, delimiter, position)
    try:
        wrapped = form.wrapping(wrap, columns)
    except ValueError as error:
        raise SemanticError(str(error), position) from None
    return Layout(form.name, tuple(columns), wrap=wrapped, delimiter=delimiter or ",")


def default_wrapping(session: dict[str, str], columns: Sequence[Column]) -> bool | None:
    """The session's wrapping of single values, None where it says nothing or does not apply."""
    setting = session.get(DEFAULT_WRAPPING)
    if setting is None or len(columns) != 1:
        return None
    return setting.lower() == "true"


def default_delimiter(properties: Properties, part: str, inherited: Layout | None) -> str | None:
    """The delimiter of KEY or VALUE: as written, else that of a source of the same format."""
    written = properties.delimiter(part)
    if written is None and inherited is not None and inherited.format == "DELIMITED":
        return inherited.delimiter
    return written


def _check(
    form: Format, columns: Sequence[Column], *, is_key: bool, position: Position | None
) -> None:
    reason = form.check(columns, is_key=is_key)
    if reason is not None:
        raise SemanticError(reason, position)


def _check_delimiter(
    name: str, form: Format, delimiter: str | None, position: Position | None
) -> None:
    if delimiter is not None and form.name != "DELIMITED":
        raise SemanticError(
            f"{name} goes with the format DELIMITED, not with {form.name}", position
        )
