"""Scalar, table and aggregate functions, by family; `default_registry` has them all."""

from __future__ import annotations

import importlib

from millstream.functions.registry import Registry

_FAMILIES = (
    "json_functions",
    "times",
    "url",
    "regex",
    "masks",
    "binary",
    "arrays",
    "maps",
    "table_functions",
    "strings",
    "numeric",
    "trigonometry",
    "nulls",
)


def default_registry() -> Registry:
    """All built-in functions, in a registry of the caller's own."""
    registry = Registry()
    for family in _FAMILIES:
        registry.add(*importlib.import_module(f"millstream.functions.{family}").FUNCTIONS)
    try:
        aggregates = importlib.import_module("millstream.functions.aggregates")
    except ModuleNotFoundError:
        return registry
    registry.add(*getattr(aggregates, "ALL", ()))
    return registry
