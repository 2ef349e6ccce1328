"""What functions there are, and that each is described."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from millstream.functions import default_registry
from millstream.functions.registry import ScalarFunction

REGISTRY = default_registry()


@pytest.mark.parametrize("function", REGISTRY.scalars.values(), ids=lambda f: f.name)
def test_every_scalar_function_is_described(function: ScalarFunction) -> None:
    assert function.name == function.name.upper()
    assert function.description.endswith(".")
    assert function.category
    assert function.variants
    assert function.examples
    for variant in function.variants:
        assert variant.row is not None or variant.columnar is not None or variant.row_for


def test_all_of_ksqldbs_functions_are_there(shared: Path) -> None:
    known = json.loads((shared / "reference" / "udf_signatures.json").read_text())
    assert set(known) <= set(REGISTRY.scalars)
    for name, (_, signatures) in known.items():
        if signatures:
            assert len(REGISTRY.scalars[name].variants) == len(signatures), name


def test_registries_are_the_callers_own() -> None:
    mine = default_registry()
    del mine.scalars["ABS"]
    assert "ABS" in default_registry().scalars
