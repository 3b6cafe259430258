"""Metrics of all processes that use a store, in Prometheus' text format. docs/metrics.md describes each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import accumulate

from falcon_events.errors import EventsError
from falcon_events.model.reports import (
    AFTER_COMMIT_FAILED,
    BEFORE_STORE_FAILED,
    NOT_GIVEN,
    OFF_PLAN,
    Distribution,
    FilterState,
    Metrics,
)

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

FILTERS: tuple[tuple[str, str, Callable[[FilterState], float]], ...] = (
    ("keys", "EventIDs or bindings in the filters that recognize new ones.", lambda state: state.keys),
    ("bytes", "Memory of these filters.", lambda state: state.bytes),
    ("limit_bytes", "Memory of these filters from which on they become less exact.", lambda state: state.most_bytes),
    ("false_positive_ratio", "Share of new keys that are looked up.", lambda state: state.false_positives),
)
"""The metrics of filters: name, help, and the value."""


def render_metrics(metrics: Metrics) -> bytes:
    """Render metrics in Prometheus' text format.

    Raises:
        EventsError: prometheus_client is not installed.
    """
    try:
        from prometheus_client import CollectorRegistry, generate_latest
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
    except ImportError:
        raise EventsError("Metrics need prometheus_client: pip install 'falcon-events[metrics]'.") from None

    def counter(name: str, help: str, value: float) -> Metric:
        return CounterMetricFamily(f"falcon_events_{name}", help, value=value)

    def gauge(name: str, help: str, value: float) -> Metric:
        return GaugeMetricFamily(f"falcon_events_{name}", help, value=value)

    def histogram(name: str, help: str, values: Distribution) -> Metric:
        bounds = [*(str(float(bound)) for bound in values.bounds), "+Inf"]
        buckets = list(zip(bounds, accumulate(values.counts), strict=True))
        return HistogramMetricFamily(f"falcon_events_{name}", help, buckets=buckets, sum_value=values.total)

    class Collector:
        def collect(self) -> Iterator[Metric]:
            measures = metrics.measures
            yield counter("stored", "Events that were committed.", measures.stored)
            yield counter("duplicates", "Repeated events, whose EventID was already stored.", measures.duplicates)
            yield counter(
                "dropped",
                "Events that were counted but not stored: no visitor sent them, or a hook dropped them.",
                measures.dropped,
            )
            yield counter("failed", "Events that were accepted but could not be committed.", measures.failed)
            refused = CounterMetricFamily("falcon_events_refused", "Failures in answers, by documented code.", labels=["code"])
            for code, count in sorted(metrics.refused.items()):
                refused.add_metric([str(code)], count)
            yield refused
            failed = CounterMetricFamily(
                "falcon_events_hook_failures", "Exceptions in hooks of the host application.", labels=["hook"]
            )
            for hook in (BEFORE_STORE_FAILED, AFTER_COMMIT_FAILED):
                failed.add_metric([hook], metrics.named_counts.get(hook, 0))
            yield failed
            skipped = "Committed events that were not passed to after_commit because the hook is too slow."
            yield counter("hook_skipped", skipped, metrics.named_counts.get(NOT_GIVEN, 0))
            off_plan = "Events that violated the tracking plan, whether refused or stored."
            yield counter("plan_violations", off_plan, metrics.named_counts.get(OFF_PLAN, 0))
            yield histogram("batch_events", "Events in one commit.", measures.batches)
            yield histogram("commit_seconds", "Duration of a commit.", measures.commits)
            yield histogram("apply_seconds", "Time taken to write the journal into the tables.", measures.applications)
            yield histogram("fold_seconds", "Time taken to fold events into the catalogue.", measures.folds)
            yield gauge("waiting_events", "Events waiting for their commit, in all processes.", metrics.waiting)
            yield gauge("journaled_events", "Events committed to the journal but not yet in the tables.", metrics.journaled)
            yield gauge("clients", "Processes that use the store.", metrics.clients)
            yield counter("owner_changes", "How often another process had to take over the file.", metrics.owner_changes)
            yield gauge("owner_start_time_seconds", "Start time of the owner of the file.", metrics.owner_started_at)
            deliveries = CounterMetricFamily(
                "falcon_events_deliveries", "Attempts to deliver an event to a webhook.", labels=["result"]
            )
            for result, count in metrics.deliveries.items():
                deliveries.add_metric([result], count)
            yield deliveries
            yield gauge("deliveries_waiting", "Events not yet delivered to a webhook.", metrics.deliveries_waiting)
            yield gauge("file_bytes", "Size of the database file.", metrics.file_bytes)
            yield gauge("log_bytes", "Size of the journal and of the database's write-ahead log.", metrics.log_bytes)
            for name, words, read in FILTERS:
                family = GaugeMetricFamily(f"falcon_events_filter_{name}", words, labels=["table"])
                for table, state in metrics.filters.items():
                    family.add_metric([table], read(state))
                yield family
            yield gauge("healthy", "1 while the store accepts events, else 0.", float(metrics.healthy))

    registry = CollectorRegistry()
    registry.register(Collector())
    text: bytes = generate_latest(registry)
    return text
