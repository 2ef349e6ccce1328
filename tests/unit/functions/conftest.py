"""SQL text without columns, evaluated."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from millstream.clock import FixedClock
from millstream.engine.expressions import EvaluationContext, compile_expression
from millstream.functions import default_registry
from millstream.plan.typing import NoColumns, type_expression
from millstream.sql import parse_expression

REGISTRY = default_registry()
NOW_MS = 1_589_234_313_000


class Failed:
    """Stands for a value that an expression does not have, because it failed."""

    def __repr__(self) -> str:
        return "FAILED"


FAILED = Failed()


@pytest.fixture(scope="session")
def failed() -> Failed:
    return FAILED


@pytest.fixture(scope="session")
def value() -> Callable[[str], Any]:
    """The value of an expression without columns; `failed` where it was reported to fail."""

    def evaluate(sql: str) -> Any:
        item = type_expression(parse_expression(sql), NoColumns(), REGISTRY)
        context = EvaluationContext(clock=FixedClock(NOW_MS))
        result = compile_expression(item).evaluate_row((), context)
        return FAILED if context.failures else result

    return evaluate
