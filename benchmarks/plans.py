"""Scripts and options that `python -m benchmarks` runs, in full and as a quick smoke test."""

from __future__ import annotations

CONNECTIONS = ("--connections", "8", "32", "128", "256")
BESIDE = ("bare", "postgresql", "sqlite", "duckdb")

Plan = dict[str, list[tuple[str, ...]]]
"""The runs of each benchmark by its name; a run is a script of this folder and its options."""

FULL: Plan = {
    "ingest": [
        ("ingest", *CONNECTIONS),
        *(("ingest", "--interface", "asgi", "--connections", "8", "32", "128", "--beside", rival) for rival in BESIDE),
        ("ingest", "--workers", "4", "--connections", "128"),
        ("batches",),
    ],
    "latency": [("latency",)],
    "query": [("query", "--events", "100000", "1000000", "10000000")],
    "answers": [("answers", "--events", "10000000", "--beside", "postgresql")],
    "dashboard": [("dashboard", "--events", "10000000", "--browser")],
    "import": [("importing",)],
    "scale": [("scale", "--events", "10000000", "--seconds", "300")],
    "memory": [("memory", "--events", "10000000", "--visitors", "1000000")],
    "recall": [("recall",)],
    "size": [("size",)],
    "deliveries": [("deliveries",)],
    "binary": [("binary",)],
    "soak": [("soak", "--minutes", "30")],
}

_SHORT = ("--seconds", "1", "--rounds", "1", "--bodies", "1000")
QUICK: Plan = {
    "ingest": [
        ("ingest", *_SHORT, "--connections", "8"),
        ("ingest", *_SHORT, "--interface", "asgi", "--connections", "8", "--generator", "own"),
        *(("ingest", *_SHORT, "--interface", "asgi", "--connections", "8", "--beside", rival) for rival in BESIDE),
        ("batches", "--requests", "3", "--rounds", "1", "--body", "small"),
    ],
    "latency": [("latency", "--requests", "50", "--rounds", "1")],
    "query": [("query", "--events", "20000", "--requests", "30")],
    "answers": [
        (
            *("answers", "--events", "20000", "--times", "2", "--sql-times", "1"),
            *("--seconds", "1", "--rounds", "1", "--beside", "postgresql"),
        )
    ],
    "dashboard": [("dashboard", "--events", "20000", "--rounds", "1")],
    "import": [("importing", "--events", "5000", "--rounds", "1", "--body", "small")],
    "scale": [("scale", "--events", "20000", "--seconds", "3", "--connections", "4")],
    "memory": [("memory", "--events", "20000", "--visitors", "2000")],
    "recall": [("recall", "--event-ids", "20000", "--bindings", "10000", "--rounds", "2")],
    "size": [("size", "--events", "10000")],
    "deliveries": [("deliveries", "--events", "200", "--rounds", "1")],
    "binary": [("binary", "--rounds", "1")],
}
"""Without the soak, which is useless in seconds. These runs only show that the benchmarks work; their figures mean nothing."""
