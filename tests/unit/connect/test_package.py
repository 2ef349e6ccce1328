"""`millstream.connect` opens a database, whatever was imported before."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    "before",
    [
        "import millstream",
        "import millstream.connect.base",
        "import millstream.connect as c; c().close()",
    ],
)
def test_connect_can_be_called_again_and_again(before: str) -> None:
    code = f"{before}\nimport millstream\nfor _ in range(3): millstream.connect(':memory:').close()"
    subprocess.run([sys.executable, "-W", "error::ImportWarning", "-c", code], check=True)
