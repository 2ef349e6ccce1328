"""Recipes that come along: SQL to run, as data."""

from __future__ import annotations

from importlib.resources import files


def recipe_names() -> list[str]:
    """The names of all recipes' files, without `.sql`."""
    names = (entry.name for entry in files(__name__).iterdir())
    return sorted(name.removesuffix(".sql") for name in names if name.endswith(".sql"))


def read_recipe(name: str) -> str:
    """The SQL of a recipe's file, such as `clickstream`. Raises KeyError where there is none."""
    if name not in recipe_names():
        raise KeyError(name)
    return files(__name__).joinpath(f"{name}.sql").read_text("utf-8")
