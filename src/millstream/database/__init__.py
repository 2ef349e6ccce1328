"""A database and what one does with it: statements, pull and push queries, inserts."""

from millstream.database.database import Database, connect

__all__ = ["Database", "connect"]
