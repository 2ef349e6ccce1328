"""Which variant of a function fits a call, and the conversions its arguments need.

The rules: variants that take the argument types as they are come first, then those that take them
after widening. Among several, one without a repeated parameter wins, then the one with more
parameters, then the one with fewer type variables; what still ties is ambiguous. A bare NULL fits
any parameter.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Generic as TypedOver
from typing import Protocol, TypeVar

from millstream import types as t
from millstream.errors import Position, SemanticError
from millstream.functions.registry import (
    AnyDecimal,
    AnyStruct,
    AnyType,
    ArrayOf,
    Generic,
    LambdaOf,
    MapOf,
    Pattern,
    ReturnRule,
    UnitOfTime,
)
from millstream.plan import typed
from millstream.plan.coercion import as_decimal, can_widen, coerce, convert_literal, rank
from millstream.sql import ast

Bindings = dict[str, t.SqlType]
"""Type variables and the types they stand for in one call."""


class Signature(Protocol):
    """What the variants of scalar, aggregate and table functions have in common."""

    @property
    def parameters(self) -> tuple[Pattern, ...]:
        """Patterns of the parameters."""
        ...

    @property
    def variadic(self) -> int | None:
        """The index of the parameter that repeats, if one does."""
        ...

    @property
    def returns(self) -> ReturnRule:
        """The type of the result."""
        ...


S = TypeVar("S", bound=Signature)

Argument = typed.Expression | ast.Lambda | ast.TimeUnit
"""An argument: typed already, or a lambda that waits for its parameters' types, or a unit."""

TypeLambda = Callable[[ast.Lambda, Sequence[t.SqlType]], typed.Lambda]
"""Types a lambda's body, given its parameters' types."""


@dataclass(frozen=True)
class Resolved(TypedOver[S]):
    """A call's variant, its converted arguments, and the type of its result."""

    variant: S
    arguments: tuple[typed.Expression, ...]
    type: t.SqlType


def resolve_call(
    name: str,
    variants: Sequence[S],
    arguments: Sequence[Argument],
    position: Position | None,
    type_lambda: TypeLambda | None = None,
    *,
    widen: bool = True,
) -> Resolved[S]:
    """The variant that fits; SemanticError, with the signatures there are, where none does."""
    for allow_widening in (False, True) if widen else (False,):
        fitting = [
            v for v in variants if _fits(_expanded(v, len(arguments)), arguments, allow_widening)
        ]
        if fitting:
            variant = _best(name, fitting, variants, arguments, position)
            return _bind(name, variant, arguments, position, type_lambda)
    raise SemanticError(
        f"function {name} does not take ({_given(arguments)})",
        position,
        hint=_signatures(name, variants),
    )


def suggestion(name: str, known: Iterable[str]) -> str | None:
    """A hint that names the closest known name, or None where nothing is close."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f"Did you mean {close[0]}?" if close else None


# --- fitting -----------------------------------------------------------------------------------


def _expanded(variant: Signature, count: int) -> list[Pattern] | None:
    """The parameters of a call with `count` arguments, the repeated one as often as needed."""
    parameters = list(variant.parameters)
    index = variant.variadic
    if index is None:
        return parameters if len(parameters) == count else None
    repeats = count - (len(parameters) - 1)
    if repeats < 0:
        return None
    return parameters[:index] + [parameters[index]] * repeats + parameters[index + 1 :]


def _fits(parameters: list[Pattern] | None, arguments: Sequence[Argument], widening: bool) -> bool:
    if parameters is None:
        return False
    bindings: Bindings = {}
    return all(
        _takes(pattern, argument, bindings, widening)
        for pattern, argument in zip(parameters, arguments, strict=True)
    )


def _takes(pattern: Pattern, argument: Argument, bindings: Bindings, widening: bool) -> bool:
    if isinstance(argument, ast.Lambda):
        return isinstance(pattern, LambdaOf) and len(pattern.parameters) == len(argument.parameters)
    if isinstance(argument, ast.TimeUnit) or isinstance(pattern, UnitOfTime):
        return isinstance(argument, ast.TimeUnit) and isinstance(pattern, UnitOfTime)
    if argument.type is None:
        return True
    return accepts(pattern, argument.type, bindings, widening and not has_generics(pattern))


def accepts(pattern: Pattern, given: t.SqlType, bindings: Bindings, widening: bool) -> bool:
    """Whether a parameter takes a type; binds type variables as it goes."""
    match pattern, given:
        case Generic(name), _:
            return bindings.setdefault(name, given) == given
        case AnyType(), _:
            return True
        case AnyStruct(), _:
            return isinstance(given, t.Struct)
        case AnyDecimal(), _:
            number = rank(given)
            return isinstance(given, t.Decimal) or (
                widening and number is not None and given != t.DOUBLE
            )
        case ((ArrayOf(item) | t.Array(item)), t.Array(mine)):
            return accepts(item, mine, bindings, widening)
        case ((MapOf(key, value) | t.Map(key, value)), t.Map(my_key, my_value)):
            return accepts(key, my_key, bindings, widening) and accepts(
                value, my_value, bindings, widening
            )
        case t.Struct(fields), t.Struct(my_fields):
            mine_by_name = {f.name: f.type for f in my_fields}
            return {f.name: f.type for f in fields} == mine_by_name
    if isinstance(pattern, t.SqlType):
        return pattern == given or (widening and can_widen(given, pattern))
    return False


def has_generics(pattern: Pattern) -> bool:
    """Whether the pattern holds a type variable."""
    match pattern:
        case Generic():
            return True
        case ArrayOf(item):
            return has_generics(item)
        case MapOf(key, value):
            return has_generics(key) or has_generics(value)
        case LambdaOf(parameters, result):
            return any(map(has_generics, parameters)) or has_generics(result)
    return False


def _best(
    name: str,
    fitting: list[S],
    variants: Sequence[S],
    arguments: Sequence[Argument],
    position: Position | None,
) -> S:
    ranked = sorted(fitting, key=_preference)
    if len(ranked) > 1 and _preference(ranked[-1]) == _preference(ranked[-2]):
        raise SemanticError(
            f"function {name} is ambiguous for ({_given(arguments)})",
            position,
            hint="CAST the arguments to one of the types it takes.\n" + _signatures(name, variants),
        )
    return ranked[-1]


def _preference(variant: Signature) -> tuple[bool, int, int, int]:
    generics = sum(map(has_generics, variant.parameters))
    anything = sum(isinstance(p, AnyType) for p in variant.parameters)
    return variant.variadic is None, len(variant.parameters), -generics, -anything


# --- binding -----------------------------------------------------------------------------------


def _bind(
    name: str,
    variant: S,
    arguments: Sequence[Argument],
    position: Position | None,
    type_lambda: TypeLambda | None,
) -> Resolved[S]:
    parameters = _expanded(variant, len(arguments))
    assert parameters is not None
    bindings: Bindings = {}
    for pattern, argument in zip(parameters, arguments, strict=True):
        if isinstance(argument, typed.Expression) and argument.type is not None:
            accepts(pattern, argument.type, bindings, True)
    bound: list[typed.Expression] = []
    for pattern, argument in zip(parameters, arguments, strict=True):
        if isinstance(argument, ast.Lambda):
            assert isinstance(pattern, LambdaOf)
            bound.append(_bind_lambda(name, pattern, argument, bindings, type_lambda))
        elif isinstance(argument, ast.TimeUnit):
            bound.append(
                typed.Literal(type=t.STRING, value=argument.name, position=argument.position)
            )
        else:
            bound.append(_converted(argument, pattern, bindings))
    result = _result_type(name, variant, bound, bindings, position)
    return Resolved(variant, tuple(bound), result)


def _bind_lambda(
    name: str,
    pattern: LambdaOf,
    argument: ast.Lambda,
    bindings: Bindings,
    type_lambda: TypeLambda | None,
) -> typed.Lambda:
    assert type_lambda is not None
    types = [concrete(p, bindings) for p in pattern.parameters]
    known = [p for p in types if p is not None]
    if len(known) < len(types):
        raise SemanticError(
            f"the types of the lambda's parameters in {name} cannot be told from the arguments",
            argument.position,
            hint="CAST a bare NULL to a type.",
        )
    function = type_lambda(argument, known)
    if function.type is None:
        wanted = concrete(pattern.result, bindings)
        return replace(function, type=wanted)
    if not accepts(pattern.result, function.type, bindings, False):
        raise SemanticError(
            f"the lambda in {name} gives {function.type}, and "
            f"{concrete(pattern.result, bindings) or pattern.result} is needed",
            argument.position,
            hint="CAST inside the lambda or the argument it must agree with.",
        )
    return function


def _converted(
    argument: typed.Expression, pattern: Pattern, bindings: Bindings
) -> typed.Expression:
    target = concrete(pattern, bindings)
    if isinstance(pattern, AnyDecimal) and argument.type is not None:
        target = as_decimal(argument.type)
    if target is None or argument.type == target:
        return argument
    if isinstance(argument, typed.Literal) and rank(argument.type) is not None:
        value = convert_literal(argument.value, argument.type, target)
        return typed.Literal(type=target, value=value, position=argument.position)
    if argument.type is None:
        return coerce(argument, target)
    return typed.Cast(type=target, operand=argument, implicit=True, position=argument.position)


def concrete(pattern: Pattern, bindings: Bindings) -> t.SqlType | None:
    """The type that a pattern stands for in a call, or None where it is open."""
    match pattern:
        case Generic(name):
            return bindings.get(name)
        case ArrayOf(item):
            inner = concrete(item, bindings)
            return None if inner is None else t.Array(inner)
        case MapOf(key, value):
            inner, other = concrete(key, bindings), concrete(value, bindings)
            return None if inner is None or other is None else t.Map(inner, other)
    return pattern if isinstance(pattern, t.SqlType) else None


def _result_type(
    name: str,
    variant: Signature,
    arguments: Sequence[typed.Expression],
    bindings: Bindings,
    position: Position | None,
) -> t.SqlType:
    rule = variant.returns
    if callable(rule):
        try:
            return rule([a.type for a in arguments])
        except ValueError as error:
            raise SemanticError(f"{name}: {error}", position) from error
    result = concrete(rule, bindings)
    if result is None:
        raise SemanticError(
            f"the type of {name}'s result cannot be told from its arguments",
            position,
            hint="CAST a bare NULL to a type.",
        )
    return result


# --- words for errors --------------------------------------------------------------------------


def _given(arguments: Sequence[Argument]) -> str:
    return ", ".join(_shown(a) for a in arguments)


def _shown(argument: Argument) -> str:
    if isinstance(argument, ast.Lambda):
        return f"LAMBDA({', '.join(argument.parameters)})"
    if isinstance(argument, ast.TimeUnit):
        return "TIMEUNIT"
    return "NULL" if argument.type is None else str(argument.type)


def _signatures(name: str, variants: Sequence[Signature]) -> str:
    return "It takes: " + "; ".join(signature_text(name, v) for v in variants) + "."


def signature_text(name: str, variant: Signature) -> str:
    """A variant as a person reads it: `CONCAT(STRING...)`."""
    shown = [
        f"{p}..." if i == variant.variadic else str(p) for i, p in enumerate(variant.parameters)
    ]
    return f"{name}({', '.join(shown)})"
