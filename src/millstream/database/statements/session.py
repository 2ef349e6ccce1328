"""SET, UNSET, DEFINE and UNDEFINE."""

from __future__ import annotations

from typing import TYPE_CHECKING

from millstream.config import KNOWN, has_meaning, is_known, nearest, normalised, problem
from millstream.database.outcome import Outcome
from millstream.errors import NotSupportedYetError, SemanticError
from millstream.serde.formats import format_named
from millstream.sql import ast
from millstream.sql.script import Parsed

if TYPE_CHECKING:
    from millstream.database.database import Database

FORMATS = ("ksql.persistence.default.format.key", "ksql.persistence.default.format.value")


def set_property(database: Database, statement: ast.SetProperty, parsed: Parsed) -> Outcome:
    """Set a property of the session; queries keep the ones they were created with."""
    if statement.system:
        raise NotSupportedYetError("ALTER SYSTEM", statement.position)
    name = normalised(statement.name)
    if not is_known(name):
        raise _unknown(statement)
    wrong = problem(name, statement.value)
    if wrong is not None:
        default = KNOWN[name].default if name in KNOWN else ""
        hint = f"Its default is '{default}'." if default else None
        raise SemanticError(wrong, statement.position, hint=hint)
    if name in FORMATS and statement.value:
        try:
            format_named(statement.value)
        except ValueError as error:
            raise SemanticError(f"'{name}': {error}", statement.position) from None
    before = database.properties.get(name, KNOWN[name].default if name in KNOWN else "")
    database.properties[name] = statement.value
    told = f"property '{name}' set from '{before}' to '{statement.value}'"
    if not has_meaning(name):
        told += "; it is kept, and changes nothing here"
    return Outcome(parsed.text, told)


def unset_property(database: Database, statement: ast.UnsetProperty, parsed: Parsed) -> Outcome:
    """Give a property its default again."""
    name = normalised(statement.name)
    if database.properties.pop(name, None) is None and not is_known(name):
        raise _unknown(statement)
    return Outcome(parsed.text, f"property '{name}' unset")


def _unknown(statement: ast.SetProperty | ast.UnsetProperty) -> SemanticError:
    near = nearest(normalised(statement.name), 0.6)
    return SemanticError(
        f"there is no property '{statement.name}'",
        statement.position,
        hint="SHOW PROPERTIES; lists them." if near is None else f"Did you mean '{near}'?",
    )


def define(database: Database, statement: ast.DefineVariable, parsed: Parsed) -> Outcome:
    """Set a variable that ${name} stands for from here on."""
    database.variables[statement.name] = statement.value
    return Outcome(parsed.text, f"variable {statement.name} defined")


def undefine(database: Database, statement: ast.UndefineVariable, parsed: Parsed) -> Outcome:
    """Forget a variable."""
    database.variables.pop(statement.name, None)
    return Outcome(parsed.text, f"variable {statement.name} forgotten")
