"""The aggregate functions."""

from __future__ import annotations

from collections.abc import Mapping

from millstream.functions.aggregates import collect, numbers, offsets, statistics, top
from millstream.functions.registry import AggregateFunction

LIST_LIMIT = "ksql.functions.collect_list.limit"
SET_LIMIT = "ksql.functions.collect_set.limit"
DEFAULT_LIMIT = 1000


def build(settings: Mapping[str, object] | None = None) -> tuple[AggregateFunction, ...]:
    """All aggregate functions; settings limit how many items COLLECT_LIST and COLLECT_SET keep."""
    given = settings or {}
    return (
        *numbers.FUNCTIONS,
        *collect.functions(
            int(str(given.get(LIST_LIMIT, DEFAULT_LIMIT))),
            int(str(given.get(SET_LIMIT, DEFAULT_LIMIT))),
        ),
        *offsets.FUNCTIONS,
        *top.FUNCTIONS,
        *statistics.FUNCTIONS,
    )


ALL: tuple[AggregateFunction, ...] = build()

__all__ = ["ALL", "DEFAULT_LIMIT", "LIST_LIMIT", "SET_LIMIT", "build"]
