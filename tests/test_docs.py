"""What the documentation tells people to type works: every command, SQL block and Python block.

In a fenced block of README.md or docs/:

- `console`: each line after `$ ` is a command. `make x` must be a target of the Makefile;
  `millstream …` runs, for two seconds where it would go on for ever.
- `sql`: a script that runs; `sql file=NAME` is also saved for the commands below it.
- `python`: a program that runs. A line `# …` after a print tells what it prints.
- `text` and other languages are only shown.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import ROOT

PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])
FENCE = re.compile(r"^```(\w+)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?://|#)([^)#]+)")
ENDLESS = ("run", "demo")
SAMPLE_LOG = (
    '192.0.2.1 - - [17/May/2015:10:05:03 +0000] "GET /a.html HTTP/1.1" 200 20 "-" "Mozilla"\n'
    '192.0.2.1 - - [17/May/2015:10:05:09 +0000] "GET /b.html HTTP/1.1" 404 20 "-" "Mozilla"\n'
)


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, what stands behind that, its text and where it begins."""

    language: str
    options: str
    text: str
    line: int


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page, in order."""
    text = page.read_text("utf-8")
    return [
        Block(match[1], match[2].strip(), match[3], text.count("\n", 0, match.start()) + 1)
        for match in FENCE.finditer(text)
    ]


def pages_with(*languages: str) -> list[Path]:
    """The pages that have a block in one of these languages."""
    return [page for page in PAGES if any(block.language in languages for block in blocks(page))]


def page_name(page: Path) -> str:
    """How a page is called in a report."""
    return str(page.relative_to(ROOT))


def run_program(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a command in `folder`, without a terminal."""
    environment = {**os.environ, "PYTHONWARNINGS": "error"}
    return subprocess.run(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def millstream(arguments: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run `millstream` in `folder`; what would go on for ever ends after two seconds."""
    if arguments and arguments[0] in ENDLESS and "--for" not in arguments:
        arguments = [*arguments, "--for", "2s"]
    script = "from millstream.cli.main import main; main()"
    return run_program([sys.executable, "-c", script, *arguments], folder)


def check_command(line: str, folder: Path) -> None:
    """Run one command, or hold it against the Makefile."""
    words = shlex.split(line)
    if words[0] == "make":
        targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
        assert set(words[1:]) <= set(targets), line
        return
    assert words[0] == "millstream", f"this test does not know how to run {line!r}"
    done = millstream(words[1:], folder)
    assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"


def check_sql(block: Block, folder: Path) -> None:
    """Run a script; keep it where the block names a file."""
    named = re.fullmatch(r"file=(\S+)", block.options)
    script = folder / (named[1] if named else f"line_{block.line}.sql")
    script.write_text(block.text, "utf-8")
    done = millstream(["run", script.name], folder)
    assert done.returncode == 0, f"{block.text}\n{done.stdout}\n{done.stderr}"


def check_python(block: Block, folder: Path) -> None:
    """Run a program, and compare what it prints with what its comments say."""
    promised = re.findall(r"^\s*# (\[.*|\{.*|\d.*)$", block.text, re.MULTILINE)
    done = run_program([sys.executable, "-c", block.text], folder)
    assert done.returncode == 0, f"{block.text}\n{done.stdout}\n{done.stderr}"
    assert done.stdout.splitlines() == promised


@pytest.mark.parametrize("page", pages_with("console", "sql", "python"), ids=page_name)
def test_what_a_page_shows_works(page: Path, tmp_path: Path) -> None:
    (tmp_path / "access.log").write_text(SAMPLE_LOG, "utf-8")
    for block in blocks(page):
        if block.language == "console":
            for line in block.text.splitlines():
                if line.startswith("$ "):
                    check_command(line.removeprefix("$ "), tmp_path)
        elif block.language == "sql":
            check_sql(block, tmp_path)
        elif block.language == "python":
            check_python(block, tmp_path)


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_links_lead_somewhere(page: Path) -> None:
    broken = [
        target
        for target in LINK.findall(page.read_text("utf-8"))
        if not (page.parent / target).exists()
    ]
    assert broken == []


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_every_block_names_its_language(page: Path) -> None:
    fences = re.findall(r"^```(.*)$", page.read_text("utf-8"), re.MULTILINE)
    assert all(fences[::2]), "a fenced block without a language is neither run nor shown as text"


def test_every_decision_is_listed() -> None:
    folder = ROOT / "docs" / "decisions"
    listed = set(LINK.findall((folder / "README.md").read_text("utf-8")))
    assert listed == {path.name for path in folder.glob("0*.md")}


def test_every_target_of_the_makefile_says_what_it_does() -> None:
    text = (ROOT / "Makefile").read_text("utf-8")
    phony = re.search(r"^\.PHONY: (.*)$", text, re.MULTILINE)
    assert phony is not None
    assert set(phony[1].split()) == set(re.findall(r"^([a-z]+):.*## ", text, re.MULTILINE))
