"""Writes the pages of the reference that follow from the code: python -m docs.reference.generate

A test holds the pages against what this writes.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from millstream.connect.base import ConnectorClass, Option
from millstream.connect.options import COMMON_OPTIONS
from millstream.connect.registry import CLASSES

FOLDER = Path(__file__).parent

_HEAD = """\
# Connectors

A source connector brings records into topics, a sink connector carries a topic's records away. They
run in Millstream's own process. `CREATE SOURCE|SINK CONNECTOR name WITH (…)` makes one and
starts it; the options are those that Kafka Connect and Confluent Cloud know by these names.

- A connector is known by its SQL name; the option `name` is only shown.
- Names of options and classes are compared without regard to case. An unknown option is an error
  that suggests what was meant. Options that mean nothing here are accepted, kept and shown; they
  are listed as such below.
- Topics that a source writes are made with the connector, with one partition each, where they do
  not exist. If such a topic is dropped, the connector is FAILED, and never makes it again.
- Positions are part of the commit that the records are in: a source gives nothing twice and leaves
  nothing out, whatever happens. A sink delivers at least once and goes on from its own position.
- `SHOW CONNECTORS` tells the state. RUNNING with a message: it waits, or tries again. FAILED: the
  message says why and what to do. `RESUME CONNECTOR` tries again, and so does the next opening of
  the database. `PAUSE CONNECTOR name` and `RESUME CONNECTOR name` are Millstream's own statements;
  a pause outlives a restart.
- The values of options whose names end in password, secret, token, key or credentials are never
  shown. They are stored in the database file, which only its owner may read.
- Records that a connector cannot read or deliver for good go to the processing log.

This page is written by `python -m docs.reference.generate`.
"""


def connectors_page() -> str:
    """The page about connectors."""
    parts = [_HEAD, *(_class_section(cls) for cls in CLASSES), _common_section()]
    return "\n".join(parts)


def _class_section(cls: ConnectorClass) -> str:
    first, *others = cls.names
    documentation = " ".join((type(cls).__doc__ or "").split())
    lines = [f"## {first}", "", f"A {cls.direction.lower()}. {documentation}", ""]
    if others:
        lines += [f"Also called {_listed(f'`{name}`' for name in others)}.", ""]
    used = [o for o in cls.options if not o.ignored]
    lines += ["| option | meaning | default |", "|---|---|---|"]
    lines += [f"| `{o.name}` | {_cell(o.description)} | {_default(o)} |" for o in used]
    ignored = [o for o in cls.options if o.ignored]
    if ignored:
        lines += ["", "Accepted, kept and shown, without effect:", ""]
        lines += [f"- `{o.name}`: {_cell(o.description)}" for o in ignored]
    return "\n".join([*lines, ""])


def _common_section() -> str:
    lines = ["## Options of every connector", ""]
    for option in COMMON_OPTIONS:
        effect = "" if option.ignored else " (required)"
        lines.append(f"- `{option.name}`{effect}: {_cell(option.description)}")
    lines += ["", "All but `connector.class` are without effect."]
    return "\n".join([*lines, ""])


def _default(option: Option) -> str:
    if option.required:
        return "required"
    return "" if option.default in (None, "") else f"`{option.default}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


def _listed(words: Iterable[str]) -> str:
    *most, last = words
    return f"{', '.join(most)} or {last}" if most else last


PAGES = {"connectors.md": connectors_page}
"""The pages by file name."""


def main() -> None:
    """Write all pages."""
    for name, page in PAGES.items():
        (FOLDER / name).write_text(page(), "utf-8")


if __name__ == "__main__":
    main()
