"""The words of the language: which are reserved, and how a name is written in a statement."""

from __future__ import annotations

import re

from millstream.types import quote_name

RESERVED = frozenset(
    (
        "AND AS BETWEEN BY CASE CAST CREATE DISTINCT DROP ELSE END EXISTS FALSE FROM FULL GROUP HAVING "
        "IN INNER INSERT INTO IS JOIN LEFT LIKE LIMIT NOT NULL ON OR OUTER RIGHT SELECT THEN TRUE WHEN "
        "WHERE WITH WITHIN "
    ).split()
)
"""Words that hold a statement together: a name of this spelling must be quoted."""

CONTEXTUAL = frozenset(
    (
        "ADD ADVANCE ALL ALTER ARRAY ASSERT AT BEGINNING CHANGES COLUMN CONNECTOR CONNECTORS DEFINE "
        "DELETE DESC DESCRIBE EMIT ESCAPE EXPLAIN EXTENDED FINAL FUNCTION GRACE HEADER HEADERS HOPPING "
        "ID IF INTERVAL KEY LIST MAP PARTITION PAUSE PERIOD PLUGINS PRIMARY PRINT REPLACE RESUME "
        "RETENTION RUN SAMPLE SCHEMA SCRIPT SESSION SET SHOW SINK SIZE SOURCE STREAM STREAMS STRUCT "
        "SUBJECT SYSTEM TABLE TABLES TERMINATE TIMEOUT TOPIC TOPICS TUMBLING TYPE UNDEFINE UNSET VALUES "
        "WINDOW "
    ).split()
)
"""Words that mean something in some places only; elsewhere they are names."""

QUOTED_WHEN_WRITTEN = RESERVED | frozenset(
    (
        "ALL ARRAY COLUMN CONNECTOR EMIT ESCAPE FUNCTION HEADER HEADERS IF KEY MAP PARTITION PRIMARY "
        "STREAMS STRUCT TABLES WINDOW "
    ).split()
)
"""Names that the formatter quotes although they look plain."""

VERBS = (
    "SELECT",
    "CREATE",
    "INSERT",
    "DROP",
    "ALTER",
    "TERMINATE",
    "PAUSE",
    "RESUME",
    "SHOW",
    "LIST",
    "DESCRIBE",
    "DESC",
    "PRINT",
    "EXPLAIN",
    "SET",
    "UNSET",
    "DEFINE",
    "UNDEFINE",
    "ASSERT",
    "RUN",
)
"""The words a statement may start with."""

CLAUSES = (
    "FROM",
    "WINDOW",
    "WHERE",
    "GROUP",
    "PARTITION",
    "HAVING",
    "EMIT",
    "LIMIT",
    "JOIN",
    "INNER",
    "LEFT",
    "RIGHT",
    "FULL",
    "ON",
    "WITHIN",
)
"""The words that start a clause behind FROM."""

UNITS = {
    spelling: plural
    for plural in ("MILLISECONDS", "SECONDS", "MINUTES", "HOURS", "DAYS")
    for spelling in (plural, plural[:-1])
}
"""Every spelling of a unit of time, to its plural."""

TAKES_TIME_UNIT = frozenset(
    ("DATEADD", "DATESUB", "TIMEADD", "TIMESUB", "TIMESTAMPADD", "TIMESTAMPSUB")
)
"""Functions whose first argument is a bare unit of time; in other calls such a word is a column."""

_PLAIN_UPPER = re.compile(r"[A-Z_][A-Z0-9_@]*\Z")


def format_name(name: str) -> str:
    """The name as a statement spells it: bare if that reads back as the same name, else quoted."""
    if _PLAIN_UPPER.match(name) is not None and name not in QUOTED_WHEN_WRITTEN:
        return name
    return quote_name(name)
