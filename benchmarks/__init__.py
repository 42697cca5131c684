"""Speed and scale beside other ways to serve the same checkpoint: ``python -m benchmarks.bench``."""
