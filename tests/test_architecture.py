"""What the import contracts of pyproject.toml cannot say: heavy imports, start-up, file sizes."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT

PACKAGE = ROOT / "src" / "millstream"

# Which folders (or file prefixes) of the package may import a library at all.
ALLOWED = {
    "confluent_kafka": ("store/kafka/",),
    "sqlite3": ("store/sqlite/",),
    "duckdb": ("serde/json", "database/"),
    "click": ("cli/",),
    "rich": ("cli/",),
    "httpx": ("connect/", "flink/", "serde/registry"),
}

# What `import millstream` must leave unloaded, and what the command may load for --version.
HEAVY = ("duckdb", "httpx", "rich", "click", "confluent_kafka", "starlette", "nicegui")
HEAVY_FOR_VERSION = ("duckdb", "httpx", "rich", "pyarrow", "numpy")


def imports(path: Path) -> Iterator[str]:
    """The top-level names of the modules that a file imports, wherever in the file."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name.partition(".")[0]
        elif isinstance(node, ast.ImportFrom) and node.module is not None and node.level == 0:
            yield node.module.partition(".")[0]


def test_libraries_are_imported_where_they_belong() -> None:
    misplaced = [
        f"{path.relative_to(PACKAGE)} imports {library}"
        for path in sorted(PACKAGE.rglob("*.py"))
        for library in set(imports(path)) & ALLOWED.keys()
        if not path.relative_to(PACKAGE).as_posix().startswith(ALLOWED[library])
    ]
    assert misplaced == []


def loaded_after(code: str) -> set[str]:
    """The top-level modules that a fresh interpreter has loaded after running `code`."""
    script = f"{code}\nimport sys\nprint('\\n'.join({{m.partition('.')[0] for m in sys.modules}}))"
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    return set(result.stdout.split())


def test_importing_the_package_stays_light() -> None:
    assert loaded_after("import millstream") & set(HEAVY) == set()


def test_asking_for_the_version_stays_light() -> None:
    code = (
        "from millstream.cli.main import main\n"
        "try:\n    main(['--version'])\nexcept SystemExit:\n    pass"
    )
    assert loaded_after(code) & set(HEAVY_FOR_VERSION) == set()


def uses_package_root(node: ast.AST) -> bool:
    """Whether an import takes something from `millstream` itself, not from a module of it."""
    if isinstance(node, ast.Import):
        return any(alias.name == "millstream" for alias in node.names)
    if not isinstance(node, ast.ImportFrom) or node.module != "millstream" or node.level != 0:
        return False
    return not all(
        (PACKAGE / alias.name).is_dir() or (PACKAGE / f"{alias.name}.py").is_file()
        for alias in node.names
    )


def test_nothing_imports_the_package_root_from_inside() -> None:
    """`millstream` is for users; a module that imports it would reach every layer at once."""
    offenders = [
        str(path.relative_to(PACKAGE))
        for path in sorted(PACKAGE.rglob("*.py"))
        if any(uses_package_root(node) for node in ast.walk(ast.parse(path.read_text("utf-8"))))
    ]
    assert offenders == []


@pytest.mark.parametrize("folder", ["src", "tests"])
def test_a_file_is_one_thing(folder: str) -> None:
    """About 600 lines: a file that is much longer has become two things."""
    long = {
        str(path.relative_to(ROOT)): lines
        for path in sorted((ROOT / folder).rglob("*.py"))
        if (lines := path.read_text("utf-8").count("\n")) > 800
    }
    assert long == {}
