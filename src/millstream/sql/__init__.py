"""SQL text to trees and back."""

from millstream.sql.formatter import format_expression, format_statement, format_type
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
    "format_expression",
    "format_statement",
    "format_type",
    "iter_script",
    "parse_columns",
    "parse_expression",
    "parse_script",
    "parse_statement",
    "parse_type",
    "split_statements",
    "substitute",
]
