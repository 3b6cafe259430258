"""Benchmarks of the package through its HTTP API; README.md describes them."""
