"""Experiments that check what the statistics promise, a module a question; `benchmarks/validity.py` runs them all."""
