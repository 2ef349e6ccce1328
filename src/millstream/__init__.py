"""Streaming SQL for Python: ksqlDB scripts in one process.

>>> import millstream
>>> db = millstream.connect()
>>> db.close()
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from millstream.database.database import Database, connect

__version__ = "0.1.0"
__all__ = ["Database", "__version__", "connect"]


def __getattr__(name: str) -> Any:
    # Loaded when first used, so that `import millstream` costs next to nothing.
    if name in ("Database", "connect"):
        return getattr(importlib.import_module("millstream.database"), name)
    raise AttributeError(f"module 'millstream' has no attribute {name!r}")
