"""A second process that reads while the first one commits sees whole commits only."""

from __future__ import annotations

import json

import pyarrow as pa

from millstream.store.interfaces import StoreId
from millstream.store.open import open_store
from tests.unit.store.builders import lines
from tests.unit.store.sqlite.test_files import python

# Reads until its input ends; prints what it saw wrong, and how many different commits it saw.
READER = """
import json, select, sys
from millstream.store.interfaces import StoreId
from millstream.store.open import open_store
from tests.unit.store.builders import values
store = open_store(sys.argv[1], read_only=True)
print("open", flush=True)
wrong, seen, last = [], set(), -1
while True:
    stop = bool(select.select([sys.stdin], [], [], 0)[0])
    with store.view() as view:
        first, second = view.topics()
        count = view.end(first.id)
        state = StoreId(1, "agg", "h")
        row = [
            len(values(view, first.id)),
            len(values(view, second.id)),
            view.positions("q").get(first.id, 0),
            view.state_meta(state).get("n", 0),
            sum(part.rows.num_rows for part in view.state(state)),
        ]
    if row != [count] * 5 or count < last:
        wrong.append([count, row])
    last = count
    seen.add(count)
    if stop:
        break
store.close()
print(json.dumps({"wrong": wrong, "seen": len(seen), "last": last}))
"""


def test_readers_see_whole_commits(path: str) -> None:
    store = open_store(path)
    state = StoreId(1, "agg", "h")
    with store.begin() as commit:
        first, second = commit.create_topic("a", 1), commit.create_topic("b", 1)
        commit.commit()
    total = 0
    with python(READER, path) as reader:
        assert reader.stdin is not None and reader.stdout is not None
        assert reader.stdout.readline() == "open\n"
        for number in range(300):
            size = 80 if number % 50 == 0 else 1
            with store.begin() as commit:
                texts = [str(number)] * size
                commit.append(first.id, lines(texts))
                commit.append(second.id, lines(texts))
                total += size
                commit.set_position("q", first.id, total)
                commit.put_state_meta(state, {"n": total})
                commit.put_delta(state, number % 2, pa.record_batch({"n": [number] * size}))
                commit.commit()
        answer, _ = reader.communicate()
        result = json.loads(answer)
    store.close()
    assert result["wrong"] == []
    assert result["last"] == total
