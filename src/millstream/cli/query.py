"""`millstream query`: one question to a database file."""

from __future__ import annotations

import sys

from millstream.cli.messages import remark
from millstream.cli.opening import open_database
from millstream.cli.output import Output
from millstream.cli.protocol import Database
from millstream.cli.statements import kind_of, tell_outcome
from millstream.cli.tables import cell, json_line, presented, print_rows, write_json_lines


def run_query(sql: str, *, path: str, as_json: bool) -> None:
    """Print what `sql` gives: the rows of a SELECT, those of a push query as they come until
    Ctrl-C, or what SHOW and the like show."""
    kind = kind_of(sql)
    with open_database(path, read_only=True) as db:
        if kind == "push":
            follow(db, sql, as_json=as_json)
            return
        if kind == "statement":
            for outcome in db.execute(sql):
                tell_outcome(Output(), outcome, as_json=as_json)
            return
        result = db.sql(sql)
        rows = presented(result.rows(), result.types)
        if as_json:
            write_json_lines(sys.stdout, result.columns, rows)
        else:
            print_rows(Output(), result.columns, rows)
        if result.lag:
            remark(f"The queries behind this answer have yet to read {result.lag:,} records.")


def follow(db: Database, sql: str, *, as_json: bool) -> None:
    """Print a push query's rows as they come: JSON, or values between tabs."""
    subscription = db.subscribe(sql)
    try:
        columns = subscription.columns
        if not as_json:
            print("\t".join(columns), flush=True)
        for row in subscription:
            (shown,) = presented([row], subscription.types)
            line = json_line(columns, shown) if as_json else "\t".join(str(cell(v)) for v in shown)
            print(line, flush=True)
    except KeyboardInterrupt:
        pass
    finally:
        subscription.close()
