"""The bench: this library, its peers and its own limit, side by side on this machine.

    python -m bench [--quick]     measures, and writes JSON, tables and a plot to build/bench
    python -m bench.targets       compares what was measured with what must be reached
    python -m bench.publish       puts the tables into docs/benchmarks.md
    pytest bench                  benchmarks of single calls, by pytest-benchmark

``plan`` says what is measured, ``peers`` how each library sends and receives, ``measure``
runs it in fresh processes, ``report`` turns the numbers into tables and pictures.
"""
