"""The WITH clause of streams and tables: which properties exist, and what their values may be."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from millstream.catalog.catalog import did_you_mean
from millstream.catalog.model import WindowInfo
from millstream.errors import NotSupportedYetError, Position, SemanticError
from millstream.sql import ast

_COMMON = (
    "KAFKA_TOPIC FORMAT KEY_FORMAT VALUE_FORMAT PARTITIONS REPLICAS RETENTION_MS CLEANUP_POLICY "
    "TIMESTAMP TIMESTAMP_FORMAT WRAP_SINGLE_VALUE KEY_DELIMITER VALUE_DELIMITER "
    "KEY_SCHEMA_ID VALUE_SCHEMA_ID KEY_SCHEMA_FULL_NAME VALUE_SCHEMA_FULL_NAME "
    "VALUE_AVRO_SCHEMA_FULL_NAME KEY_PROTOBUF_NULLABLE_REPRESENTATION "
    "VALUE_PROTOBUF_NULLABLE_REPRESENTATION"
)
CREATE_AS = frozenset(_COMMON.split())
"""Properties of CREATE STREAM|TABLE .. AS SELECT."""
CREATE = CREATE_AS | {"WINDOW_TYPE", "WINDOW_SIZE", "SOURCED_BY_CONNECTOR"}
"""Properties of CREATE STREAM|TABLE with columns."""
INSERT = frozenset({"QUERY_ID"})
"""Properties of INSERT INTO .. SELECT."""

_REGISTRY_ONLY = frozenset(
    name for name in CREATE if "SCHEMA_ID" in name or "FULL_NAME" in name or "PROTOBUF" in name
)
_POLICIES = {"delete", "compact", "compact,delete", "delete,compact"}

Value = str | int | bool


@dataclass(frozen=True)
class Properties:
    """Checked properties by name in upper case."""

    values: dict[str, Value]
    position: Position | None

    @staticmethod
    def of(
        written: ast.Properties, allowed: Iterable[str], position: Position | None
    ) -> Properties:
        """The properties of a statement; SemanticError where one is unknown or no literal."""
        values: dict[str, Value] = {}
        for name, expression in written:
            key = name.upper()
            if key not in allowed:
                raise SemanticError(
                    f"{name} is not a property of this statement",
                    expression.position or position,
                    hint=did_you_mean(key, allowed),
                )
            if key in _REGISTRY_ONLY:
                raise NotSupportedYetError(f"the property {key}", expression.position or position)
            values[key] = _literal(name, expression)
        if "FORMAT" in values and ("KEY_FORMAT" in values or "VALUE_FORMAT" in values):
            raise SemanticError(
                "FORMAT stands for KEY_FORMAT and VALUE_FORMAT together and excludes both",
                position,
                hint="Keep either FORMAT or the other two.",
            )
        return Properties(values, position)

    def text(self, name: str) -> str | None:
        """A property as text, None where it is not set."""
        value = self.values.get(name)
        return None if value is None else str(value)

    def integer(self, name: str) -> int | None:
        """A property as a whole number; SemanticError where it is none."""
        value = self.values.get(name)
        if value is None:
            return None
        try:
            # Python refuses to read very long texts of digits, with a ValueError, too.
            number = int(value)
        except ValueError:
            shown = value if len(str(value)) <= 60 else f"{str(value)[:60]}…"
            raise SemanticError(
                f"{name} must be a whole number, not {shown!r}", self.position
            ) from None
        if not -(2**63) <= number < 2**63:
            raise SemanticError(f"{name} does not fit a BIGINT (64 bits)", self.position)
        return number

    def retention_ms(self) -> int | None:
        """RETENTION_MS: how long records are kept, -1 for ever."""
        value = self.integer("RETENTION_MS")
        if value is not None and value < -1:
            raise SemanticError(
                f"RETENTION_MS must be at least 0, or -1 for ever, not {value}", self.position
            )
        return value

    def positive(self, name: str) -> int | None:
        """A property as a whole number of at least 1."""
        value = self.integer(name)
        if value is not None and value < 1:
            raise SemanticError(f"{name} must be at least 1, not {value}", self.position)
        return value

    def boolean(self, name: str) -> bool | None:
        """A property as true or false, None where it is not set."""
        value = self.values.get(name)
        if value is None or isinstance(value, bool):
            return value
        if str(value).lower() in ("true", "false"):
            return str(value).lower() == "true"
        raise SemanticError(f"{name} must be true or false, not {value!r}", self.position)

    def format_of(self, part: str) -> str | None:
        """The format of KEY or VALUE, in upper case."""
        value = self.text(f"{part}_FORMAT") or self.text("FORMAT")
        return None if value is None else value.upper()

    def delimiter(self, part: str) -> str | None:
        """The delimiter of KEY or VALUE: one character; SPACE and TAB are words for theirs."""
        value = self.text(f"{part}_DELIMITER")
        if value is None:
            return None
        value = {"SPACE": " ", "TAB": "\t"}.get(value.upper(), value)
        if len(value) != 1:
            raise SemanticError(
                f"{part}_DELIMITER must be one character, SPACE or TAB, not {value!r}",
                self.position,
            )
        return value

    def cleanup_policy(self) -> str | None:
        """CLEANUP_POLICY in lower case."""
        value = self.text("CLEANUP_POLICY")
        if value is not None and value.lower().replace(" ", "") not in _POLICIES:
            raise SemanticError(
                f"CLEANUP_POLICY must be delete, compact or both, not {value!r}", self.position
            )
        return None if value is None else value.lower()


def default_policy(kind: ast.SourceKind, window: WindowInfo | None) -> str:
    """The CLEANUP_POLICY of a topic that a statement makes and gives none: Kafka may compact the
    topic of a table, and forgets windows and streams by their age."""
    if kind is ast.SourceKind.STREAM:
        return "delete"
    return "compact" if window is None else "compact,delete"


def _literal(name: str, expression: ast.Expression) -> Value:
    match expression:
        case ast.StringLiteral(value):
            return value
        case ast.IntegerLiteral(number):
            return number
        case ast.BooleanLiteral(flag):
            return flag
        case ast.Negation("-", ast.IntegerLiteral(number)):
            return -number
    raise SemanticError(
        f"the value of {name} must be a text, a whole number, true or false", expression.position
    )
