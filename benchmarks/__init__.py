"""Benchmarks: each runs by one command and prints a table with ratios."""
