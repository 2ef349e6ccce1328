"""Which connectors there are: looked up by what a statement calls `connector.class`."""

from __future__ import annotations

from collections.abc import Mapping

from millstream.connect.access_log import AccessLogClass
from millstream.connect.base import ConnectorClass, ConnectorError
from millstream.connect.datagen.source import DatagenClass
from millstream.connect.elasticsearch import ElasticsearchClass
from millstream.connect.options import check_options, suggestion

CLASSES: tuple[ConnectorClass, ...] = (DatagenClass(), ElasticsearchClass(), AccessLogClass())
"""Every kind of connector."""

_CLASS_OPTION = "connector.class"


def find_class(name: str) -> ConnectorClass:
    """The class of this name, compared without regard to case. Raises ConnectorError."""
    wanted = name.strip().lower()
    names = {known.lower(): cls for cls in CLASSES for known in cls.names}
    if wanted in names:
        return names[wanted]
    close = suggestion(name, (known for cls in CLASSES for known in cls.names))
    offered = ", ".join(cls.names[0] for cls in CLASSES)
    raise ConnectorError(
        f"There is no connector class '{name}'.",
        hint=f"Did you mean '{close}'?" if close else f"There are: {offered}.",
    )


def prepare(direction: str, options: Mapping[str, str]) -> tuple[ConnectorClass, dict[str, str]]:
    """The class that a statement's options name, and the options checked and under their known
    names. `direction` is the statement's, SOURCE or SINK. Raises ConnectorError."""
    given = [value for name, value in options.items() if name.lower() == _CLASS_OPTION]
    if not given or not given[0].strip():
        raise ConnectorError(
            f"The option '{_CLASS_OPTION}' is missing.",
            hint=f"It names the kind of connector: {', '.join(c.names[0] for c in CLASSES)}.",
        )
    cls = find_class(given[0])
    if cls.direction != direction.upper():
        raise ConnectorError(
            f"{cls.names[0]} is a {cls.direction.lower()} connector.",
            hint=f"Write CREATE {cls.direction} CONNECTOR.",
        )
    return cls, check_options(cls, options)
