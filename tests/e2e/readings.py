"""A small database: a stream of readings and a table of the hottest."""

from __future__ import annotations

from millstream import Database

SCRIPT = """
SET 'auto.offset.reset' = 'earliest';
CREATE STREAM readings (sensor VARCHAR KEY, celsius DOUBLE)
  WITH (KAFKA_TOPIC = 'readings', VALUE_FORMAT = 'JSON', PARTITIONS = 1);
CREATE TABLE hottest AS
  SELECT sensor, MAX(celsius) AS celsius, COUNT(*) AS n FROM readings GROUP BY sensor;
"""


def settle(db: Database) -> None:
    """Do all there is to do now."""
    db.run(until_idle=True)
