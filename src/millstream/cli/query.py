"""`millstream query`: one question to a database file."""

from __future__ import annotations

import sys

from millstream.cli.opening import open_database
from millstream.cli.protocol import Database
from millstream.cli.tables import json_line, print_rows, write_json_lines


def run_query(sql: str, *, path: str, as_json: bool) -> None:
    """Print the rows that `sql` gives; those of a push query as they come, until Ctrl-C."""
    from millstream.cli.statements import is_push_query

    with open_database(path, read_only=True) as db:
        if is_push_query(sql):
            follow(db, sql, as_json=as_json)
            return
        result = db.sql(sql)
        if as_json:
            write_json_lines(sys.stdout, result.columns, result.rows())
            return
        from rich.console import Console

        print_rows(Console(highlight=False), result.columns, result.rows())


def follow(db: Database, sql: str, *, as_json: bool) -> None:
    """Print a push query's rows as they come: JSON, or values between tabs."""
    subscription = db.subscribe(sql)
    try:
        columns = subscription.columns
        if not as_json:
            print("\t".join(columns))
        for row in subscription:
            print(json_line(columns, row) if as_json else "\t".join(map(str, row)), flush=True)
    except KeyboardInterrupt:
        pass
    finally:
        subscription.close()
