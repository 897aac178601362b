"""Measurements of bmtune against its rivals and against itself, paired in one run.

`python -m benchmarks` runs all of them; `python -m benchmarks step sampling` some.
"""
