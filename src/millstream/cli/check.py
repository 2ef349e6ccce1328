"""`millstream check`: what of a database file is intact, and what to do about the rest."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import msgspec
from rich.text import Text

from millstream.cli.output import Output

if TYPE_CHECKING:
    from millstream.store.sqlite.check import FileCheck, Gap, StateCheck, TopicCheck

_MOST_LINES = 5
_KINDS = (
    ("source", "stream or table", "streams and tables"),
    ("query", "query", "queries"),
    ("connector", "connector", "connectors"),
)


def check(path: str, *, as_json: bool) -> bool:
    """Look at everything in a file and tell what is damaged; whether all is intact.

    Raises StoreError where it is no database, or cannot be opened.
    """
    from millstream.store.sqlite.check import check_file

    found = check_file(path)
    if as_json:
        print(msgspec.json.encode(as_object(found)).decode())
        return found.intact
    console = Output()
    for line in report(found):
        # Only a headline begins at the margin.
        console.print(Text(line, style="" if line.startswith(" ") else "bold"), soft_wrap=True)
    return found.intact


def report(found: FileCheck) -> Iterator[str]:
    """The lines for a person."""
    if found.intact:
        yield f"{found.path} is intact, up to commit {found.commit:,}."
        yield from (f"  {line}" for line in intact_lines(found))
        return
    yield f"{found.path} is damaged."
    yield from (f"  {line}" for line in damage_lines(found))
    yield "Intact"
    yield from (f"  {line}" for line in intact_lines(found))
    yield "What to do"
    yield from (f"  {line}" for line in advice(found))


def damage_lines(found: FileCheck) -> list[str]:
    """What is damaged, a line each."""
    lines = shortened(found.file, "faults of the file")
    lines += found.log
    for table, sentences in found.tables.items():
        lines += shortened(sentences, f"faults of table {table}")
    for topic in found.topics:
        name = topic_name(topic)
        if topic.name is None:
            lines.append(f"{name}: its name cannot be read; {counted(topic)} can")
        lines += shortened([f"{name}: {gap_text(g)}" for g in topic.gaps], f"faults of {name}")
    for state in found.states:
        if state.damaged:
            lines.append(state_text(found, state))
    return lines


def shortened(lines: list[str], what: str) -> list[str]:
    """The first lines, and how many there are of the others."""
    if len(lines) <= _MOST_LINES:
        return list(lines)
    return [*lines[:_MOST_LINES], f"... and {len(lines) - _MOST_LINES:,} more {what}"]


def topic_name(topic: TopicCheck) -> str:
    """How a topic is called here."""
    return f"a topic (number {topic.id})" if topic.name is None else f"topic {topic.name}"


def counted(topic: TopicCheck) -> str:
    """How many records can be read."""
    number = topic.end - topic.start - topic.lost
    return f"{number:,} record{'' if number == 1 else 's'}"


def gap_text(gap: Gap) -> str:
    """Records that cannot be read, by offset where that is known."""
    number = gap.last - gap.first + 1
    places = [
        f"offset{'' if first == last else 's'} {first}{'' if first == last else f' to {last}'}"
        f" of partition {partition}"
        for partition, first, last in gap.offsets
    ]
    where = f" ({', '.join(places)})" if places else ""
    noun = "record" if number == 1 else "records"
    return f"{number:,} {noun}{where} cannot be read: {gap.reason}"


def state_text(found: FileCheck, state: StateCheck) -> str:
    """Damaged state of a query."""
    pages = sorted({page for page, _ in state.damaged})
    return (
        f"{query_name(found, state.query)}: {len(state.damaged):,} of {state.parts:,} pieces of its"
        f" state {state.step} cannot be read"
        f" (page{'' if len(pages) == 1 else 's'} {', '.join(map(str, pages[:_MOST_LINES]))}"
        f"{', ...' if len(pages) > _MOST_LINES else ''}): {state.damaged[0][1]}"
    )


def query_name(found: FileCheck, number: int) -> str:
    """A query by its id and what it writes, or by its number where its entry is damaged."""
    entry = found.entries.get("query", {}).get(number)
    return f"query {number}" if entry is None else f"query {entry['id']} (writes {entry['sink']})"


def intact_lines(found: FileCheck) -> list[str]:
    """What can be relied upon."""
    lines = []
    topics = [f"{t.name} ({counted(t)})" for t in found.topics if t.name and not t.gaps]
    if topics:
        lines.append(f"topics: {', '.join(topics)}")
    queries = {s.query for s in found.states}
    broken = {s.query for s in found.states if s.damaged}
    whole = [query_name(found, number) for number in sorted(queries - broken)]
    if whole:
        lines.append(f"state of: {', '.join(whole)}")
    kinds = [(len(found.entries.get(kind, {})), one, many) for kind, one, many in _KINDS]
    words = [f"{number} {one if number == 1 else many}" for number, one, many in kinds if number]
    if words:
        lines.append(f"catalogue: {', '.join(words)}")
    return lines or ["nothing"]


def advice(found: FileCheck) -> list[str]:
    """What to do, the best first."""
    lines = ["Restore the file from a backup, together with its -wal file if it has one."]
    if found.log:
        lines.append(
            "Without a backup: SQLite goes on from the last commit before the damage, and what came"
            f' later is lost: sqlite3 {found.path} "PRAGMA wal_checkpoint(TRUNCATE);"'
        )
    if any(t.gaps for t in found.topics):
        lines.append(
            "Without a backup: lost records stay lost. Queries that have read them already go on;"
            " others stop there with an error."
        )
    lines += [
        line
        for query in sorted({s.query for s in found.states if s.damaged})
        for line in rebuilding(found, query)
    ]
    if found.tables or found.file:
        lines.append(
            "Without a backup: sqlite3's .recover may save a part of the tables; Millstream does"
            " not open a file whose catalogue or counters are damaged."
        )
    return lines


def rebuilding(found: FileCheck, number: int) -> list[str]:
    """How to have a query's state computed again, where its input is intact."""
    query = found.entries.get("query", {}).get(number)
    if query is None or found.tables or found.log:
        return []
    sources = found.entries.get("source", {})
    by_name = {s["name"]: s for s in sources.values()}
    damaged = {t.id for t in found.topics if t.gaps}
    if any(
        name not in by_name or by_name[name]["topic_id"] in damaged for name in query["sources"]
    ):
        return []
    sink = by_name.get(query["sink"])
    if sink is None or sink["query_id"] != query["id"]:
        return []
    return [
        f"Without a backup: what {query['id']} reads is intact, so {query['sink']} can be computed"
        f" again: SET 'auto.offset.reset' = 'earliest'; DROP {sink['kind']} {query['sink']} DELETE"
        " TOPIC; and then the statement that made it."
    ]


def as_object(found: FileCheck) -> dict[str, Any]:
    """The report for programs."""
    return {
        "path": found.path,
        "intact": found.intact,
        "commit": found.commit,
        "file": found.file,
        "log": found.log,
        "tables": found.tables,
        "topics": [
            {
                "topic": t.name,
                "id": t.id,
                "intact": t.name is not None and not t.gaps,
                "records": t.end - t.start,
                "lost": t.lost,
                "gaps": [
                    {
                        "records": g.last - g.first + 1,
                        "first": g.first,
                        "last": g.last,
                        "offsets": [
                            {"partition": p, "first": first, "last": last}
                            for p, first, last in g.offsets
                        ],
                        "reason": g.reason,
                    }
                    for g in t.gaps
                ],
            }
            for t in found.topics
        ],
        "states": [
            {
                "query": found.entries.get("query", {}).get(s.query, {}).get("id"),
                "number": s.query,
                "step": s.step,
                "intact": not s.damaged,
                "pieces": s.parts,
                "damaged": [{"page": page, "reason": reason} for page, reason in s.damaged],
            }
            for s in found.states
        ],
        "catalogue": {kind: len(found.entries.get(kind, {})) for kind, *_ in _KINDS},
        "advice": [] if found.intact else advice(found),
    }
