"""SQL text to trees and back."""

from millstream.sql.script import (
    Parsed,
    StatementText,
    iter_script,
    parse_columns,
    parse_expression,
    parse_script,
    parse_statement,
    parse_type,
    split_statements,
)
from millstream.sql.variables import substitute

__all__ = [
    "Parsed",
    "StatementText",
    "iter_script",
    "parse_columns",
    "parse_expression",
    "parse_script",
    "parse_statement",
    "parse_type",
    "split_statements",
    "substitute",
]
