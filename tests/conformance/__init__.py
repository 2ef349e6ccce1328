"""Runs ksqlDB's functional test data against Millstream and compares what comes out."""
