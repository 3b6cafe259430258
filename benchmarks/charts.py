"""Charts of the figures as SVG and PNG."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("svg")

from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.results import Record, records_of, rival_of

COLORS = ("#0b6b5c", "#c2571a", "#3a5fcd", "#8a5a00", "#7a3e9d", "#59636d")
STYLE = {
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.prop_cycle": matplotlib.cycler(color=COLORS),
    "axes.grid": True,
    "grid.alpha": 0.25,
    "font.size": 10,
    "svg.hashsalt": "falcon-events",
}


def draw(records: list[Record], folder: Path) -> list[Path]:
    """Draw every chart that the records have figures for, and return the files."""
    made = []
    for name, chart in CHARTS.items():
        with matplotlib.rc_context(STYLE):
            figure = chart(records)
            if figure is None:
                continue
            for form in ("svg", "png"):
                path = folder / f"{name}.{form}"
                figure.savefig(path, dpi=120, metadata={"Date": None} if form == "svg" else None)
                made.append(path)
            pyplot.close(figure)
    return made


def _throughput(records: list[Record]) -> Figure | None:
    """Events per second by number of connections, durable and without storing."""
    found = [
        record for record in records_of(records, "ingest") if rival_of(record) == "no-store" and record.get("workers", 1) == 1
    ]
    if not found:
        return None
    figure, axes = _figure("Events per second by number of connections", "connections", "events/s")
    for interface in ("asgi", "wsgi"):
        mine = sorted((one for one in found if one["interface"] == interface), key=lambda one: one["connections"])
        for kind, line in (("durable", "-"), ("no-store", "--")):
            if mine:
                values = [one[kind]["events_per_second"] for one in mine]
                color = COLORS[0] if interface == "asgi" else COLORS[1]
                axes.plot(_connections(mine), values, line, marker="o", color=color, label=f"{interface.upper()}, {kind}")
    _by_connections(axes, found)
    return figure


def _latency(records: list[Record]) -> Figure | None:
    """Latency percentiles 50, 99 and 99.9 by number of connections, on ASGI."""
    found = [
        record
        for record in records_of(records, "ingest")
        if rival_of(record) == "no-store" and record["interface"] == "asgi" and record.get("workers", 1) == 1
    ]
    if not found:
        return None
    found.sort(key=lambda one: one["connections"])
    figure, axes = _figure("Latency of an event by number of connections (ASGI)", "connections", "ms")
    for kind, color in (("durable", COLORS[0]), ("no-store", COLORS[5])):
        for percentile, line in (("p50", "-"), ("p99", "--"), ("p999", ":")):
            if all(f"{percentile}_ms" in one[kind] for one in found):
                values = [one[kind][f"{percentile}_ms"] for one in found]
                label = f"{kind}, {percentile.replace('p999', 'p99.9')}"
                axes.plot(_connections(found), values, line, marker="o", color=color, label=label)
    axes.set_yscale("log")
    _by_connections(axes, found)
    return figure


def _rivals(records: list[Record]) -> Figure | None:
    """Durable events per second, divided by those of hand-written endpoints."""
    found = [record for record in records_of(records, "ingest") if rival_of(record) not in ("", "no-store", "one-worker")]
    if not found:
        return None
    figure, axes = _figure("Durable events per second, divided by those of an endpoint on …", "contender, connections", "ratio")
    found.sort(key=lambda one: (rival_of(one), one["connections"]))
    labels = [f"{rival_of(one)}\n{one['connections']}" for one in found]
    bars = axes.bar(labels, [one["ratio"] for one in found], color=COLORS[0])
    axes.bar_label(bars, fmt="%.2f")
    axes.axhline(1, color=COLORS[5], linewidth=1)
    axes.tick_params(axis="x", labelsize=7)
    axes.grid(visible=False, axis="x")
    return figure


def _query(records: list[Record]) -> Figure | None:
    """Time of a property query by number of events."""
    found = sorted(records_of(records, "query"), key=lambda one: one["events"])
    if not found:
        return None
    figure, axes = _figure("A property query by number of events", "events in the store", "ms")
    for state in dict.fromkeys(one["catalogue"] for one in found):
        mine = [one for one in found if one["catalogue"] == state]
        axes.plot([one["events"] for one in mine], [one["p50_ms"] for one in mine], marker="o", label=f"p50, {state}")
    folded = [one for one in found if one["catalogue"] == "folded"]
    axes.plot([one["events"] for one in folded], [one["fresh_ms"] for one in folded], "--", marker="o", label="json_keys afresh")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.legend()
    return figure


def _answers(records: list[Record]) -> Figure | None:
    """Time of each question, here, in SQL over the JSON of the events, and in PostgreSQL."""
    found = [record for record in records_of(records, "answers") if "question" in record]
    if not found:
        return None
    figure, axes = _figure(f"Questions about a store of {found[0]['events']:,} events", "ms", "")
    contenders = {"over HTTP": "p50_ms", "SQL over JSON": "sql_ms", "PostgreSQL": "postgresql_ms"}
    shown = {label: name for label, name in contenders.items() if name in found[0]}
    for number, (label, name) in enumerate(shown.items()):
        places = [place + (number + 0.5) / (len(shown) + 1) for place in range(len(found))]
        axes.barh(places, [one[name] for one in found], 1 / (len(shown) + 1), label=label, color=COLORS[number])
    axes.set_yticks([place + 0.4 for place in range(len(found))], [one["question"] for one in found], fontsize=7)
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.grid(visible=False, axis="y")
    axes.legend()
    return figure


def _size(records: list[Record]) -> Figure | None:
    """Bytes on disk per event."""
    found = records_of(records, "size")
    if not found:
        return None
    figure, axes = _figure("Bytes on disk of a page view with 24 properties", "", "bytes")
    values = [found[-1]["bytes_per_event"], found[-1]["postgresql_bytes_per_event"]]
    bars = axes.bar(["falcon-events, compacted", "PostgreSQL, JSONB, no index"], values, color=COLORS[:2], width=0.5)
    axes.bar_label(bars, fmt="%.0f")
    return figure


def _memory(records: list[Record]) -> Figure | None:
    """Resident memory by number of events."""
    found = records_of(records, "memory")
    if not found:
        return None
    figure, axes = _figure("Resident memory while events arrive", "events stored", "MB")
    for name in ("server", "owner", "together"):
        axes.plot([one["events"] for one in found], [one[f"{name}_mb"] for one in found], marker=".", label=name)
    axes.set_ylim(bottom=0)
    axes.legend()
    return figure


CHARTS = {
    "throughput": _throughput,
    "latency": _latency,
    "rivals": _rivals,
    "query": _query,
    "answers": _answers,
    "size": _size,
    "memory": _memory,
}


def _figure(title: str, across: str, up: str) -> tuple[Figure, Axes]:
    figure, axes = pyplot.subplots(figsize=(7.5, 4.2), layout="constrained")
    axes.set_title(title, loc="left", fontweight="bold")
    axes.set_xlabel(across)
    axes.set_ylabel(up)
    return figure, axes


def _connections(records: list[Record]) -> list[int]:
    return [one["connections"] for one in records]


def _by_connections(axes: Any, records: list[Record]) -> None:
    axes.set_xscale("log", base=2)
    ticks = sorted(set(_connections(records)))
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.legend()
