"""Scalar, table and aggregate functions, by family; `default_registry` has them all."""

from __future__ import annotations

import importlib

from millstream.functions.registry import Registry

_FAMILIES = (
    "nulls",
    "numeric",
    "trigonometry",
    "strings",
    "regex",
    "masks",
    "binary",
    "url",
    "json_functions",
    "arrays",
    "maps",
    "times",
    "table_functions",
)


def default_registry() -> Registry:
    """All built-in functions, in a registry of the caller's own; families load when asked for."""
    registry = Registry()
    for family in _FAMILIES:
        registry.add(*importlib.import_module(f"millstream.functions.{family}").FUNCTIONS)
    registry.add(*importlib.import_module("millstream.functions.aggregates").ALL)
    return registry
