"""Streaming SQL for Python: ksqlDB scripts in one process."""
