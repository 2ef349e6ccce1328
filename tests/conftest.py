"""Settings and fixtures that every test shares."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parent.parent
ON_CI = os.environ.get("CI") == "true"

# A slow machine is no failure, so there are no deadlines. On CI every run draws the same examples:
# a red run is then about the change. Locally the draws differ and are fewer.
settings.register_profile(
    "ci", deadline=None, derandomize=True, print_blob=True, database=None, max_examples=100
)
settings.register_profile("local", deadline=None, print_blob=True, max_examples=40)
settings.register_profile(
    "long",
    deadline=None,
    print_blob=True,
    max_examples=2000,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci" if ON_CI else "local"))

# A shell that runs us in the background has us ignore SIGINT, and our children inherit that; the
# tests that press Ctrl-C need them to listen.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def require(condition: object, reason: str) -> None:
    """Skip the test, saying why, where `condition` does not hold; fail it where CI=true.

    For what a stranger's clone may lack (a folder of data, a Java runtime) and CI must have.
    """
    if condition:
        return
    if ON_CI:
        pytest.fail(f"CI must have what this test needs: {reason}", pytrace=False)
    pytest.skip(reason)


def shared_folder() -> Path:
    """The folder of reference data beside the repository; MILLSTREAM_SHARED names another."""
    return Path(os.environ.get("MILLSTREAM_SHARED", ROOT.parent / "shared"))


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of reference data. Skips the test aloud where it is absent, fails on CI."""
    folder = shared_folder()
    require(
        folder.is_dir(),
        f"the reference data is not at {folder} (set MILLSTREAM_SHARED to its folder)",
    )
    return folder
