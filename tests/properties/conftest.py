"""Says at the end what the random programs held."""

from __future__ import annotations

import pytest

from tests.properties.program_records import DRAWN


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print how often each operator, aggregate and trait was drawn."""
    if not DRAWN:
        return
    terminalreporter.section("drawn into random programs")
    shown = sorted(DRAWN.items(), key=lambda item: (-item[1], item[0]))
    terminalreporter.write_line(", ".join(f"{name} {count}" for name, count in shown))
