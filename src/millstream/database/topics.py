"""Which topics can be made, and by whom they are written."""

from __future__ import annotations

import re

from millstream.database.processing_log import TOPIC
from millstream.errors import SemanticError

MOST_PARTITIONS = 10_000
"""Of one topic: each has a place in memory."""

_NAME = re.compile(r"[A-Za-z0-9._-]+")
_LONGEST_NAME = 249


def check_topic(name: str, partitions: int = 1) -> None:
    """SemanticError where Kafka could have no such topic, or one of so many partitions."""
    if len(name) > _LONGEST_NAME:
        raise SemanticError(
            f"a topic's name has at most {_LONGEST_NAME} characters, and {_shown(name)} has"
            f" {len(name)}",
            hint="Name it by KAFKA_TOPIC = '...'.",
        )
    if _NAME.fullmatch(name) is None or name in (".", ".."):
        raise SemanticError(
            f"a topic cannot be called {_shown(name)}",
            hint="Letters, digits, '.', '_' and '-' may stand in its name.",
        )
    if partitions > MOST_PARTITIONS:
        raise SemanticError(
            f"a topic has at most {MOST_PARTITIONS} partitions, not {partitions}",
            hint="One is enough where nothing else reads the topic.",
        )


def check_writable(topic: str) -> None:
    """SemanticError where nobody but Millstream itself writes the topic."""
    if topic == TOPIC:
        raise SemanticError(
            f"the topic {TOPIC} is the processing log, which can only be read",
            hint="Choose another topic.",
        )


def _shown(name: str) -> str:
    return repr(name) if len(name) <= 40 else repr(f"{name[:40]}…")
