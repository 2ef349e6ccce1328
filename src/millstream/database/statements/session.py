"""SET, UNSET, DEFINE and UNDEFINE."""

from __future__ import annotations

from typing import TYPE_CHECKING

from millstream.catalog.catalog import did_you_mean
from millstream.config import KNOWN, is_known, normalised
from millstream.database.outcome import Outcome
from millstream.errors import NotSupportedYetError, SemanticError
from millstream.sql import ast, variables
from millstream.sql.script import Parsed

if TYPE_CHECKING:
    from millstream.database.database import Database

_CHOICES = {"auto.offset.reset": ("earliest", "latest")}


def set_property(database: Database, statement: ast.SetProperty, parsed: Parsed) -> Outcome:
    """Set a property of the session; queries keep the ones they were created with."""
    if statement.system:
        raise NotSupportedYetError("ALTER SYSTEM", statement.position)
    name = normalised(statement.name)
    if not is_known(name):
        raise SemanticError(
            f"there is no property '{statement.name}'",
            statement.position,
            hint=did_you_mean(statement.name, {n.upper(): n for n in KNOWN}),
        )
    choices = _CHOICES.get(name)
    if choices is not None and statement.value.lower() not in choices:
        raise SemanticError(
            f"'{name}' is {' or '.join(choices)}, not '{statement.value}'", statement.position
        )
    before = database.properties.get(name, KNOWN[name].default if name in KNOWN else "")
    database.properties[name] = statement.value
    return Outcome(parsed.text, f"property '{name}' set from '{before}' to '{statement.value}'")


def unset_property(database: Database, statement: ast.UnsetProperty, parsed: Parsed) -> Outcome:
    """Give a property its default again."""
    name = normalised(statement.name)
    if database.properties.pop(name, None) is None and not is_known(name):
        raise SemanticError(f"there is no property '{statement.name}'", statement.position)
    return Outcome(parsed.text, f"property '{name}' unset")


def define(database: Database, statement: ast.DefineVariable, parsed: Parsed) -> Outcome:
    """Set a variable that ${name} stands for from here on."""
    variables.define(database.variables, statement.name, statement.value)
    return Outcome(parsed.text, f"variable {statement.name} defined")


def undefine(database: Database, statement: ast.UndefineVariable, parsed: Parsed) -> Outcome:
    """Forget a variable."""
    variables.undefine(database.variables, statement.name)
    return Outcome(parsed.text, f"variable {statement.name} forgotten")
