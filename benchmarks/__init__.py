"""Benchmarks: ours against a plain baseline, interleaved, as ratios; `python -m benchmarks.NAME --help`."""
