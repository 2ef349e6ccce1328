"""What a batch costs with ever more keys in state: it must follow the batch, not the state.

    python -m benchmarks.growth [--query NAME ..] [--keys N ..] [--json FILE] [--small]

For each kind of state there is one contestant per number of keys, in a process of its own; all of
one kind take turns, batch by batch. Each batch touches at most 1,000 keys spread over all, so
nothing is near anything. A batch is inserted, run and made durable. `growth_1m` and `growth_10m`
are the worst kind's cost of a batch of 10,000 events over the cost with 1,000 keys, in seconds of
processor (waiting for the disk is the same for all); the mean counts, so work that is only done
now and then is in it.
"""

from __future__ import annotations

import argparse
import contextlib
from pathlib import Path

from benchmarks import report
from benchmarks.children import Child, Figures
from benchmarks.contestant_growth import QUERIES

_KEYS = (1_000, 100_000, 1_000_000, 10_000_000)
_BATCHES = {10_000: 40, 100: 40, 1: 40}
_WARM_UP = 5

Costs = dict[tuple[int, int], list[Figures]]
"""What batches took, by number of keys and size of the batch."""


def main() -> None:
    """Run all kinds and print."""
    parser = report.parser(__doc__)
    parser.add_argument("--query", nargs="*", choices=list(QUERIES), default=list(QUERIES))
    parser.add_argument("--keys", nargs="*", type=int, default=list(_KEYS))
    options = parser.parse_args()
    if options.small:
        options.keys = [1_000, 10_000, 100_000]
    report.run(options, lambda folder: _measure(folder, options))


def _measure(folder: Path, options: argparse.Namespace) -> tuple[Figures, str]:
    del folder  # Each contestant has one of its own, which goes with it.
    smallest = min(options.keys)
    worst: dict[int, float] = {}
    shown: list[list[object]] = []
    details: Figures = {}
    for query in options.query:
        costs, memory = _run(query, options.keys)
        for keys in options.keys:
            row: list[object] = [query, keys, memory[keys] * (1 << 20) / keys]
            for size in _BATCHES:
                cost, base = _cost(costs[keys, size]), _cost(costs[smallest, size])
                row += [1000 * cost, cost / base]
                details[f"{query}, {keys} keys, {size} events"] = {
                    "cpu_ms": round(1000 * cost, 3),
                    "median_ms": round(
                        1000 * report.median(f["seconds"] for f in costs[keys, size]), 3
                    ),
                    "ratio": round(cost / base, 3),
                }
                if size == max(_BATCHES):
                    worst[keys] = max(worst.get(keys, 0.0), cost / base)
            shown.append(row)
    figures: Figures = {
        f"growth_{_short(keys)}": round(ratio, 3)
        for keys, ratio in worst.items()
        if keys != smallest
    }
    heads = ["state", "keys", "bytes a key"]
    for size in _BATCHES:
        heads += [f"batch of {size:,}: CPU ms", "ratio"]
    return figures | {"details": details}, report.table(heads, shown)


def _run(query: str, keys: list[int]) -> tuple[Costs, dict[int, float]]:
    costs: Costs = {}
    with contextlib.ExitStack() as stack:
        children = {
            n: stack.enter_context(Child("contestant_growth", query, n)) for n in sorted(keys)
        }
        memory = {n: float(child.answer()["memory_mb"]) for n, child in children.items()}
        for size, count in _BATCHES.items():
            for turn in range(count + _WARM_UP):
                for number, child in children.items():
                    taken = child.ask(str(size))
                    if turn >= _WARM_UP:
                        costs.setdefault((number, size), []).append(taken)
    return costs, memory


def _cost(figures: list[Figures]) -> float:
    return float(sum(f["cpu_seconds"] for f in figures)) / len(figures)


def _short(number: int) -> str:
    for unit, name in ((1_000_000, "m"), (1_000, "k")):
        if number >= unit:
            return f"{number // unit}{name}"
    return str(number)


if __name__ == "__main__":
    main()
