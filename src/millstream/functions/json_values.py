"""JSON trees whose numbers keep their digits, and the texts that Jackson writes of them."""

from __future__ import annotations

import base64
import json
from decimal import Decimal
from typing import Any

from millstream import types as t
from millstream.columns.java_text import decimal_to_text, double_to_text
from millstream.functions.time_text import format_date, format_time, format_timestamp


class _Missing:
    """No JSON value at all: what an empty text holds."""


MISSING = _Missing()


class _ConstantError(ValueError):
    """NaN or Infinity, which Python's reader knows and JSON does not."""


def _refuse_constant(word: str) -> Any:
    raise _ConstantError(f"{word} is not JSON")


_DECODER = json.JSONDecoder(parse_float=Decimal, parse_constant=_refuse_constant)
_WHITESPACE = " \t\r\n"


def parse_json(text: str) -> Any:
    """The first JSON value of a text, MISSING where it is blank; ValueError where it is none.

    Numbers with a point or an exponent are Decimals; of equal names the last one counts; text
    after the value is not looked at.
    """
    stripped = text.lstrip(_WHITESPACE)
    if not stripped:
        return MISSING
    try:
        return _DECODER.raw_decode(stripped)[0]
    except RecursionError as error:
        raise ValueError("the JSON is nested too deeply") from error
    except json.JSONDecodeError as error:
        raise ValueError(f"the text is not JSON: {error.msg} (character {error.pos})") from error
    except _ConstantError:
        raise
    except ValueError as error:  # Python reads no longer integers than 4300 digits
        raise ValueError("a number of the JSON has too many digits") from error


def json_text(value: Any) -> str:
    """The text of a tree, without white space."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, list):
        return "[" + ",".join(map(json_text, value)) + "]"
    if isinstance(value, dict):
        members = (f"{json_text(k)}:{json_text(v)}" for k, v in value.items())
        return "{" + ",".join(members) + "}"
    return str(value)


def typed_json_text(value: Any, sql_type: t.SqlType | None) -> str:
    """The JSON text of an SQL value."""
    if value is None:
        return "null"
    match sql_type:
        case t.Array(item):
            return "[" + ",".join(typed_json_text(v, item) for v in value) + "]"
        case t.Map(key, inner):
            members = (
                f"{json_text(_name(k, key))}:{typed_json_text(v, inner)}" for k, v in value.items()
            )
            return "{" + ",".join(members) + "}"
        case t.Struct(fields):
            members = (
                f"{json_text(f.name)}:{typed_json_text(value[f.name], f.type)}" for f in fields
            )
            return "{" + ",".join(members) + "}"
        case t.Decimal():
            return decimal_to_text(value)
        case t.Primitive("DOUBLE"):
            text = double_to_text(value)
            return json_text(text) if text[-1] in "Ny" else text
    special = _special_text(value, sql_type)
    return json_text(value if special is None else special)


def _special_text(value: Any, sql_type: t.SqlType | None) -> str | None:
    if sql_type == t.DATE:
        return format_date(value)
    if sql_type == t.TIME:
        return format_time(value)
    if sql_type == t.TIMESTAMP:
        return format_timestamp(value)
    return base64.b64encode(value).decode("ascii") if sql_type == t.BYTES else None


def _name(value: Any, sql_type: t.SqlType) -> str:
    return value if isinstance(value, str) else typed_json_text(value, sql_type)
