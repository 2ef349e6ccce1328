"""Typed expressions evaluated over columns."""

from millstream.engine.expressions.base import EvaluationContext, Frame, Reporter, Result
from millstream.engine.expressions.compiler import Compiled, columns_of, compile_expression, walk
from millstream.engine.expressions.constants import constant, constant_value

__all__ = [
    "Compiled",
    "EvaluationContext",
    "Frame",
    "Reporter",
    "Result",
    "columns_of",
    "compile_expression",
    "constant",
    "constant_value",
    "walk",
]
