"""The words of the language: which are reserved, and how a name is written in a statement."""

from __future__ import annotations

import re

from millstream.types import quote_name


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


RESERVED = _words(
    """
    AND AS BETWEEN BY CASE CAST CREATE DISTINCT DROP ELSE END EXISTS FALSE FROM FULL GROUP HAVING
    IN INNER INSERT INTO IS JOIN LEFT LIKE LIMIT NOT NULL ON OR OUTER RIGHT SELECT THEN TRUE WHEN
    WHERE WITH WITHIN
    """
)
"""Words that hold a statement together: a name of this spelling must be quoted."""

KEYWORDS = RESERVED | _words(
    """
    ADD ADVANCE ALL ALTER ANALYZE ARRAY ASSERT AT BEGINNING CHANGES COLUMN CONNECTOR CONNECTORS DAYS
    DATE DEFINE DELETE DESC DESCRIBE EMIT ESCAPE EXPLAIN EXTENDED FINAL FUNCTION FUNCTIONS GRACE
    HEADER HEADERS HOPPING HOURS ID IF INTERVAL KEY LIST MAP MILLISECONDS MINUTES PARTITION PAUSE
    PERIOD PLUGINS PRIMARY PRINT PROPERTIES QUERIES REPLACE RESUME RETENTION RUN SAMPLE SCHEMA
    SCRIPT SECONDS SESSION SET SHOW SINK SIZE SOURCE STREAM STREAMS STRUCT SUBJECT SYSTEM TABLE
    TABLES TERMINATE TIME TIMEOUT TIMESTAMP TOPIC TOPICS TUMBLING TYPE TYPES UNDEFINE UNSET VALUES
    VARIABLES WINDOW ZONE
    """
)
"""Every word of the statements; those that are not reserved mean something in their places only
and are names elsewhere."""

_QUOTED_WHEN_WRITTEN = RESERVED | _words(
    """
    ALL ARRAY AT COLUMN CONNECTOR EMIT ESCAPE EXTENDED FUNCTION HEADER HEADERS IF KEY MAP PARTITION
    PRIMARY STREAMS STRUCT TABLES WINDOW
    """
)
# Names that the formatter quotes although they look plain.

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
    if _PLAIN_UPPER.match(name) is not None and name not in _QUOTED_WHEN_WRITTEN:
        return name
    return quote_name(name)
