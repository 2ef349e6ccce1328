"""Whatever happens between records (restarts, failures, pauses, new queries) changes nothing."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from millstream.database import Database
from millstream.errors import StoreError
from millstream.store.interfaces import Commit
from tests.properties.engine_runs import Run, append, check_healthy, dump, outcome, parts
from tests.properties.program_relations import Program, Traits
from tests.properties.programs import programs

ACTS = ("feed", "feed", "feed", "append", "make", "pause", "resume", "reload", "reopen", "fail")
EVENTS = st.tuples(st.sampled_from(ACTS), st.integers(0, 99))


class DiskError(StoreError):
    """A write that fails."""

    def __init__(self) -> None:
        super().__init__("the disk is gone")


class World:
    """A database file, what is still to be fed to it, and the queries still to be made."""

    def __init__(self, program: Program, path: Path) -> None:
        self.path = path
        self.records = list(program.records)
        sources, self.queries = parts(program)
        text = program.text()
        names = re.findall(r"^CREATE \w+ (\w+)", text, re.MULTILINE)
        # A query that others read must not pause: they would go on without what it will write.
        self.leaves = [n for n in names if not re.search(rf"(FROM|JOIN|INTO) {n}\b|'{n}'", text)]
        self.database = self.open(0)
        self.database.execute("\n".join(sources))

    def open(self, number: int) -> Database:
        """The database, with room in a step for some number of rows."""
        rows = (1, 2, 3, 50_000)[number % 4]
        return Run(path=str(self.path), max_rows=rows).open()

    def act(self, what: str, number: int) -> None:
        """Let something happen; `number` says to whom or how much."""
        database = self.database
        match what:
            case "feed" | "append":
                some = self.records[: number % 3 + 1]
                del self.records[: len(some)]
                with database.engine.lock, database.store.begin() as commit:
                    append(commit, some)
                    commit.commit()
                if what == "feed":
                    database.step()
            case "make" if self.queries:
                database.execute(self.queries.pop(0))
            case "pause" | "resume":
                chosen = [q.id for q in database.catalog.queries.values() if q.sink in self.leaves]
                if chosen:
                    database.execute(f"{what.upper()} {chosen[number % len(chosen)]};")
            case "reload":
                database.engine.reload()
            case "reopen":
                database.close()
                self.database = self.open(number)
            case "fail":
                self.fail(number)

    def fail(self, number: int) -> None:
        """A step in which a query cannot write its state, once it has written it."""
        running = list(self.database.engine.queries.values())
        if not running:
            return
        query = running[number % len(running)]
        write = query.write

        def broken(commit: Commit) -> None:
            write(commit)
            raise DiskError

        query.write = broken  # type: ignore[method-assign]
        try:
            self.database.step()
        except DiskError:
            return
        query.write = write  # type: ignore[method-assign]


@settings(max_examples=50)
@given(programs(Traits(writers=False)), st.lists(EVENTS, max_size=40))
def test_nothing_between_records_changes_the_topics(
    program: Program, events: list[tuple[str, int]]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        world = World(program, Path(folder) / "program.db")
        try:
            for what, number in events:
                world.act(what, number)
            while world.records or world.queries:
                world.act("make", 0)
                world.act("feed", 2)
            world.database.execute("RESUME ALL;")
            world.database.run(until_idle=True)
            check_healthy(world.database)
            found = dump(world.database)
        finally:
            world.database.close()
    assert found == outcome(program), program.text()
