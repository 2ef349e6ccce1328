"""Functions of URLs; what is not a valid URI is an error, so the result is null."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import quote_plus, unquote

from millstream import types as t
from millstream.functions.registry import ScalarFunction, Variant

S = t.STRING
_URI = re.compile(
    r"(?:(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*):)?(?://(?P<authority>[^/?#]*))?"
    r"(?P<path>[^?#]*)(?:\?(?P<query>[^#]*))?(?:#(?P<fragment>.*))?\Z",
    re.DOTALL,
)
_LEGAL = re.compile(r"(?:[A-Za-z0-9\-_.!~*'();/?:@&=+$,#\[\]]|%[0-9A-Fa-f]{2}|[^\x00-\x7f])*\Z")
_HOST = re.compile(r"(?:.*@)?(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.\-]*)(?::(?P<port>\d*))?\Z")
_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")


@dataclass(frozen=True, slots=True)
class Uri:
    """The parts of a URI, decoded; None where it has no such part."""

    scheme: str | None
    host: str | None
    port: int | None
    path: str | None
    query: str | None
    fragment: str | None


def parse_uri(text: str) -> Uri:
    """The parts of a URI; ValueError where a character cannot stand in one."""
    match = _URI.match(text)
    if match is None or not text or _LEGAL.match(text) is None:
        raise ValueError(f"'{text}' is not a valid URL")
    scheme, authority = match["scheme"], match["authority"]
    path: str | None = match["path"]
    if scheme is not None and authority is None and not match["path"].startswith("/"):
        # An opaque URI, like mailto:a@b.c, has no path and no query.
        return Uri(scheme, None, None, None, None, _decoded(match["fragment"]))
    host_match = _HOST.match(authority) if authority else None
    host = host_match["host"] if host_match is not None else None
    port = host_match["port"] if host_match is not None else None
    return Uri(
        scheme,
        host or None,
        int(port) if port else None,
        _decoded(path),
        _decoded(match["query"]),
        _decoded(match["fragment"]),
    )


def _decoded(part: str | None) -> str | None:
    return None if part is None else unquote(part, errors="replace")


def _encode(text: str) -> str:
    return quote_plus(text, safe="*").replace("~", "%7E")


def _decode(text: str) -> str:
    if _PERCENT.search(text):
        raise ValueError(f"'{text}' has a % that no code follows")
    return unquote(text.replace("+", " "), errors="replace")


def _parameter(text: str, name: str) -> str | None:
    query = parse_uri(text).query
    for part in [] if query is None else query.split("&"):
        key, _, value = part.partition("=")
        if key == name:
            return value
    return None


def _part(name: str) -> Callable[[str], str | int | None]:
    def apply(text: str) -> str | int | None:
        part: str | int | None = getattr(parse_uri(text), name)
        return part

    return apply


def _extract(suffix: str, part: str, example: str, returns: t.SqlType = S) -> ScalarFunction:
    return ScalarFunction(
        f"URL_EXTRACT_{suffix}",
        "url",
        f"The {suffix.lower()} of a URL; null where it has none.",
        (Variant((S,), returns, _part(part)),),
        ((f"URL_EXTRACT_{suffix}('https://a.io:80/b?c=d#e')", example),),
    )


FUNCTIONS = (
    ScalarFunction(
        "URL_ENCODE_PARAM", "url", "The text encoded to be a URL's parameter.",
        (Variant((S,), S, _encode),), (("URL_ENCODE_PARAM('a b')", "'a+b'"),),
    ),
    ScalarFunction(
        "URL_DECODE_PARAM", "url", "The text that a URL's parameter encodes.",
        (Variant((S,), S, _decode),), (("URL_DECODE_PARAM('a+b')", "'a b'"),),
    ),
    _extract("PROTOCOL", "scheme", "'https'"),
    _extract("HOST", "host", "'a.io'"),
    _extract("PORT", "port", "80", t.INTEGER),
    _extract("PATH", "path", "'/b'"),
    _extract("QUERY", "query", "'c=d'"),
    _extract("FRAGMENT", "fragment", "'e'"),
    ScalarFunction(
        "URL_EXTRACT_PARAMETER", "url", "The value of a URL's parameter; null without it.",
        (Variant((S, S), S, _parameter),),
        (("URL_EXTRACT_PARAMETER('https://a.io/?c=d', 'c')", "'d'"),),
    ),
)  # fmt: skip
"""The family."""
