"""Deletion of events by age on request: all at once, but a portion at a time, so that other work gets its turn."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from falcon_events.model.reports import PruneReport
from falcon_events.store.database import duckdb
from falcon_events.store.database.pruning import KeptFor
from falcon_events.store.engine.pruner import find_rules, report
from falcon_events.store.engine.writer import Writer


def report_due(
    connection: duckdb.DuckDBPyConnection, list_id: int | None, keep_days: int | None, now_s: float
) -> list[PruneReport]:
    """Report which events are too old, of a list or of all.

    Args:
        connection: any connection.
        list_id: the list; None: all lists with such a rule.
        keep_days: the rule that the list shall have instead of its own; None: its own.
        now_s: the time in seconds since 1970.

    Raises:
        EventsError: this list keeps its events for ever.
    """
    return [report(connection, rule, now_s) for rule in find_rules(connection, list_id, keep_days)]


def prune(writer: Writer, list_id: int | None, clock: Callable[[], float]) -> list[PruneReport]:
    """Delete the events that are too old, of a list or of all. Each portion is a task of the writer.

    Args:
        writer: the open writer.
        list_id: the list; None: all lists with such a rule.
        clock: returns the current time in seconds since 1970.

    Raises:
        EventsError: this list keeps its events for ever.
    """

    def prune_list(rule: KeptFor) -> PruneReport:
        deleted = 0
        while (count := writer.run(lambda _: writer.upkeep.prune_portion(rule)).result()) is not None:
            deleted += count
        left: PruneReport = writer.run(lambda connection: report(connection, rule, clock())).result()
        return msgspec.structs.replace(left, events=deleted)

    writer.wait_until_applied()
    return [prune_list(rule) for rule in writer.run(lambda connection: find_rules(connection, list_id)).result()]
