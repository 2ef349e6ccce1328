"""What the tests of late, paused and killed queries run is all that queries are made of."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Iterator

from millstream.engine import operators
from millstream.engine.operators.aggregate import Aggregation
from millstream.engine.operators.base import Operator
from millstream.plan import nodes
from tests.e2e.query_runs import LIVE, OPERATORS, Bench

KEEPERS = ("Operator", "Aggregation", "Closing", "TableState", "SessionState")
"""How the classes are called that rows go through, or that keep some."""
EVERYTHING = {
    "filter a stream",
    "filter a table",
    "HAVING",
    "project",
    "partition",
    "table functions",
    "headers",
    "windowed source",
    "join a stream with a table: INNER",
    "join a stream with a table: LEFT",
    *(f"join two streams: {kind}" for kind in ("INNER", "LEFT")),
    *(f"join two streams, with grace: {kind}" for kind in ("LEFT", "RIGHT", "FULL")),
    *(f"join two tables: {kind}" for kind in ("INNER", "LEFT", "RIGHT", "FULL")),
    *(f"join by a foreign key: {kind}" for kind in ("INNER", "LEFT")),
    "group a stream",
    "group a table",
    *(f"group a stream: {window}" for window in ("TUMBLING", "HOPPING", "SESSION")),
    *(f"group a stream: {window}, final" for window in ("TUMBLING", "HOPPING", "SESSION")),
    "insert into",
    "AS_VALUE",
}
"""All that a query can do, as `does` says it."""


def does(plan: nodes.QueryPlan, text: str) -> Iterator[str]:
    """What a query does."""
    if text.startswith("INSERT"):
        yield "insert into"
    if "AS_VALUE" in text:
        yield "AS_VALUE"
    for node in nodes.walk(plan.root):
        match node:
            case nodes.ReadSource():
                if node.window is not None:
                    yield "windowed source"
                if node.source.schema.headers:
                    yield "headers"
            case nodes.Filter(clause="HAVING"):
                yield "HAVING"
            case nodes.Filter():
                yield f"filter a {'table' if node.is_table else 'stream'}"
            case nodes.Project():
                yield "project"
            case nodes.Rekey():
                yield "partition"
            case nodes.FlatMap():
                yield "table functions"
            case nodes.StreamTableJoin():
                yield f"join a stream with a table: {node.kind.value}"
            case nodes.StreamStreamJoin():
                grace = "" if node.grace_ms is None else ", with grace"
                yield f"join two streams{grace}: {node.kind.value}"
            case nodes.TableTableJoin():
                yield f"join two tables: {node.kind.value}"
            case nodes.ForeignKeyJoin():
                yield f"join by a foreign key: {node.kind.value}"
            case nodes.Aggregate():
                of = "table" if node.input.is_table else "stream"
                window = "" if node.spec is None else f": {node.spec.kind}"
                yield f"group a {of}{window}{', final' if node.final else ''}"
            case _:
                yield f"something new: {type(node).__name__}"


def parts_of(thing: object, seen: dict[int, object]) -> Iterator[type]:
    """The classes of the objects of which something is made, as far as they are the engine's."""
    if id(thing) in seen:
        return
    seen[id(thing)] = thing
    if isinstance(thing, list | tuple | set | dict):
        for item in thing.values() if isinstance(thing, dict) else thing:
            yield from parts_of(item, seen)
    elif type(thing).__module__.startswith("millstream.engine"):
        yield type(thing)
        names = {*getattr(thing, "__dict__", ()), *getattr(thing, "__slots__", ())}
        for name in names:
            yield from parts_of(getattr(thing, name, None), seen)


def test_all_that_queries_do_is_among_what_is_tested() -> None:
    found: set[str] = set()
    used: set[type] = set()
    for script in OPERATORS.values():
        bench = Bench.open()
        bench.database.execute("\n".join(script))
        for query in bench.database.engine.queries.values():
            assert query.info is not None
            if query.info.statement not in LIVE:
                found.update(does(query.plan, query.info.statement))
                used.update(parts_of(query.stage, {}))
        bench.close()
    assert found == EVERYTHING
    keepers = {
        kind
        for module in pkgutil.iter_modules(operators.__path__, f"{operators.__name__}.")
        for _, kind in inspect.getmembers(importlib.import_module(module.name), inspect.isclass)
        if kind.__module__ == module.name and kind.__name__.endswith(KEEPERS)
    }
    missing = {k.__name__ for k in keepers - used if not getattr(k, "_is_protocol", False)}
    assert missing <= {"Closing"}, "that one is but the base of others"
    assert {Operator, Aggregation} <= keepers
