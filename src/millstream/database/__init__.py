"""A database and what one does with it: statements, pull and push queries, inserts."""

import logging

from millstream.database.database import Database, connect

__all__ = ["Database", "connect"]

# What is logged is for developers: without a handler of theirs Python would print it.
logging.getLogger("millstream").addHandler(logging.NullHandler())
