"""Connectors: what brings records in and carries them away, and what keeps it running.

`millstream.connect(...)` opens a database, and this package has the same name: Python puts the
package in the function's place as soon as anything imports it, whatever was there before. So the
package can be called as well, and does what the function does.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any


class _CallablePackage(ModuleType):
    def __call__(self, *args: Any, **options: Any) -> Any:
        """Open a database: see `millstream.database.connect`."""
        return importlib.import_module("millstream.database").connect(*args, **options)


sys.modules[__name__].__class__ = _CallablePackage
