"""Measurements: ``python -m benchmarks.NAME [--quick] [--json FILE]``.  Last figures: docs/figures.md."""
