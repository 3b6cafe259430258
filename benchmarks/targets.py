"""Table of aims and the figures that a run reached."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Iterator

from benchmarks.results import Record, records_of, rival_of

Found = Iterable[tuple[str, float]]


def _ingest(rival: str, interface: str = "asgi") -> Callable[[list[Record]], Iterator[Record]]:
    def find(records: list[Record]) -> Iterator[Record]:
        for record in records_of(records, "ingest"):
            if rival_of(record) == rival and record["interface"] == interface and record["workers"] == 1:
                yield record

    return find


def _ratios(rival: str, interface: str = "asgi") -> Callable[[list[Record]], Found]:
    def find(records: list[Record]) -> Found:
        for record in _ingest(rival, interface)(records):
            yield f"{record['connections']} connections", record["ratio"]

    return find


def _p99(records: list[Record]) -> Found:
    for record in _ingest("no-store")(records):
        if record["connections"] == 32:
            yield "32 connections", record["durable"]["p99_ms"] / record["no-store"]["p99_ms"]


def _values(script: str, value: str, *names: str) -> Callable[[list[Record]], Found]:
    def find(records: list[Record]) -> Found:
        for record in records_of(records, script):
            if isinstance(record.get(value), (int, float)):
                yield " ".join(str(record[name]) for name in names if name in record), record[value]

    return find


def _whole_page(value: str) -> Callable[[list[Record]], Found]:
    def find(records: list[Record]) -> Found:
        for record in records_of(records, "dashboard"):
            if "first_bytes" in record:
                yield f"{record['events']:,} events", record[value]

    return find


def _query(value: str) -> Callable[[list[Record]], Found]:
    def find(records: list[Record]) -> Found:
        measured = records_of(records, "query")
        largest = max((record["events"] for record in measured), default=0)
        for record in measured:
            if record["events"] == largest:
                yield f"{largest:,} events, {record['catalogue']}", record[value]

    return find


def _memory(records: list[Record]) -> Found:
    samples = records_of(records, "memory")
    for record in samples[-1:]:
        yield f"{record['events']:,} events", record["together_mb"]
        half = statistics.median(sample["together_mb"] for sample in samples[len(samples) // 2 :])
        yield "median of the second half", half


TARGETS: list[tuple[str, str, Callable[[list[Record]], Found]]] = [
    ("durable events/s ÷ without storing, ASGI", "≥ 0.55, 0.65, 0.75, 0.85", _ratios("no-store")),
    ("the same on WSGI", "≥ 0.7 at 128", _ratios("no-store", "wsgi")),
    ("durable events/s ÷ a bare Falcon endpoint", "≥ 0.6 at 128", _ratios("bare")),
    ("p99 of a durable event ÷ without storing", "≤ 3", _p99),
    ("durable events/s ÷ Falcon on PostgreSQL", "≥ 3", _ratios("postgresql")),
    ("durable events/s ÷ Falcon on SQLite", "", _ratios("sqlite")),
    ("durable events/s ÷ Falcon on DuckDB, one commit per event", "≥ 10", _ratios("duckdb")),
    ("one client: a durable event ÷ (a bare commit + a request)", "≤ 1.3", _values("latency", "ratio", "interface")),
    ("a property query right after a write ÷ without one", "", _values("latency", "own_write_ratio", "interface")),
    (
        "events/s in batches of 1,000",
        "≥ 80,000, or the aim below",
        _values("batches", "events_per_second", "body", "connections"),
    ),
    ("the same ÷ DuckDB's own insert", "≥ 0.6", _values("batches", "ratio", "body", "connections")),
    ("import ÷ DuckDB's read_json and insert", "≥ 0.5", _values("importing", "ratio", "body")),
    ("property query p50 ÷ on the smallest store", "≤ 1.3", _query("to_smallest")),
    ("property query p50, ms", "≤ 10", _query("p50_ms")),
    ("property query ÷ counting afresh", "≤ 0.01", _query("to_fresh")),
    ("a question over HTTP, ms", "50, 150, 150, 400, 300, 450, 150, 40 or less", _values("answers", "p50_ms", "question")),
    ("the same ÷ SQL over the JSON of the events", "≤ 0.1", _values("answers", "ratio", "question")),
    ("the same ÷ PostgreSQL", "≤ 0.1; retention ≤ 0.2", _values("answers", "to_postgresql", "question")),
    ("the same ÷ about a tenth of the events", "≤ 1.5", _values("answers", "growth", "question")),
    ("events/s while questions are asked ÷ without", "≥ 0.7", _values("answers", "ingest_ratio")),
    ("p99 of an event while questions are asked ÷ without", "≤ 2", _values("answers", "ingest_p99_ratio")),
    ("bytes an event with typed columns ÷ without", "≤ 1.2", _values("answers", "size_ratio")),
    ("the dashboard's first page and its parts, ms", "≤ 500", _whole_page("cold_ms")),
    ("the same within ten seconds, ms", "≤ 100", _whole_page("again_ms")),
    ("bytes of the first page with scripts and styles, compressed", "≤ 90,000", _values("dashboard", "first_bytes", "events")),
    ("the dashboard's first paint in Chromium, ms", "≤ 1,000", _values("dashboard", "paint_ms", "events")),
    ("the same until the chart is drawn, ms", "≤ 1,000", _values("dashboard", "chart_ms", "events")),
    ("slowest answer at half load, ms", "≤ 250", _values("scale", "slowest_ms", "events")),
    ("resident memory of server and owner, MB", "≤ 700", _memory),
    ("bytes on disk per event ÷ PostgreSQL", "≤ 0.25", _values("size", "ratio")),
    ("events delivered to a webhook per second ÷ bare posts", "", _values("deliveries", "ratio")),
    ("events stored in batches while others are delivered ÷ alone", "", _values("deliveries", "taken_ratio")),
    ("the executable: from its start to the first answer, s", "< 2", _values("binary", "executable_s", "interface")),
    ("the same ÷ python -m falcon_events serve", "", _values("binary", "ratio", "interface")),
    ("the executable's size, MB", "≤ 120", _values("binary", "file_mb", "interface")),
]
"""Name of the figure, the aim, and a function that finds the figures of a run."""


def glance(records: list[Record]) -> str:
    """Format a table in Markdown with each aim and the figures reached; empty if the run measured none of them."""
    rows = []
    for what, aim, find in TARGETS:
        reached = [f"{_number(value)}{f' ({where})' if where else ''}" for where, value in find(records)]
        if reached:
            rows.append(f"| {what} | {aim} | {', '.join(reached)} |")
    return "\n".join(["| what | aim | reached |", "| --- | --- | --- |", *rows]) if rows else ""


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.2g}" if value < 0.1 else f"{value:.2f}"
