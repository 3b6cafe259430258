"""Latency of questions over HTTP about a large store, compared with SQL over the JSON of its events, and with PostgreSQL."""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import large_store
from benchmarks.common import Contender, Poster, Report, describe, fail, make_store, positive, workplace
from benchmarks.large_store import LIST_ID, LISTS
from benchmarks.load import GENERATORS, Load, Run, version
from benchmarks.postgresql import PostgreSQL
from benchmarks.questions import PROMOTED, QUESTIONS, AskedQuestion
from falcon_events import EventTracking
from falcon_events.settings import Settings
from falcon_events.store.database.connect import open_database

DAYS = 300
SHARE = 10
IDLE_S = 2
"""After this time without a question a new connection is opened, because servers close those that are idle for longer."""
"""The smaller store has this part of the events, all from the last days, as many a day as the larger one."""
VISITORS, NEW_PER_100, CONNECTIONS = 10_000, 1.0, 32
"""The events that are sent while questions are asked."""
FILLED = "select count(*) from promoted_properties where filled_seq >= until_seq"
ADDRESS = f"select lower(email) from events where list_id = {LIST_ID} and email is not null order by seq limit 1"
COLUMNS = ("question", "events", "p50 ms", "aim", "SQL ms", "÷ SQL", "PostgreSQL ms", "÷ PostgreSQL", "÷ a tenth of the events")
INGESTED = ("questions", "events/s", "p99 ms", "÷ events/s alone", "÷ p99 alone", "questions/s")


class FilledStore:
    """A store with events of the last days, folded.

    Args:
        db: its file.
        events: number of events.
        days: the days over which they are spread.
        report: takes the progress.
    """

    def __init__(self, db: Path, events: int, days: int, report: Report) -> None:
        self.db, self.events = db, events
        if db.exists():
            with EventTracking(db) as tracking:
                for list_id in LISTS:
                    tracking.directory.create_list("benchmark", f"list {list_id}", list_id)
                self.api_key = tracking.directory.create_key("benchmark").key
        else:
            self.api_key = make_store(db, *LISTS)
        with open_database(db, Settings.from_environment()) as connection:
            show(large_store.fill(connection, events, days), f"of {events:,} events created", report)
            self.plain_bytes = db.stat().st_size / events
            self.catalogue_us, self.columns_us = large_store.fold(connection)
            ((self.address,),) = connection.execute(ADDRESS).fetchall()
        self.bytes = db.stat().st_size / events


def show(numbers: Iterable[int], text: str, report: Report) -> None:
    """Report numbers of events now and then."""
    for number in numbers:
        if number % 1_000_000 == 0:
            report.progress(f"{number:,} {text}")


class Asker:
    """A client that asks questions over one connection.

    Args:
        contender: the server.
        store: its store.
    """

    def __init__(self, contender: Contender, store: FilledStore) -> None:
        self._poster = Poster(contender.port)
        self._given = {"APIKey": store.api_key, "ListID": LIST_ID}
        self._address = store.address
        self._asked_at = 0.0

    def ask(self, question: AskedQuestion) -> tuple[float, dict[str, Any]]:
        """Return the milliseconds of an answer, and the answer."""
        body = json.dumps({**self._given, **question.body}).replace("$address", self._address).encode()
        if time.perf_counter() > self._asked_at + IDLE_S:
            self._poster.close()  # the next request opens a connection
        began = time.perf_counter()
        text = self._poster.post(f"/api/v1/website_events.{question.path}", body)
        self._asked_at = time.perf_counter()
        return (time.perf_counter() - began) * 1e3, json.loads(text)


Answers = dict[str, tuple[float, dict[str, Any]]]
"""The median milliseconds of each question, the first time left out, and the last answer."""


def ask_all(askers: Sequence[Asker], questions: Sequence[AskedQuestion], times: int) -> list[Answers]:
    """Ask each asker the questions, in turn."""
    found: list[Answers] = [{} for _ in askers]
    for question in questions:
        taken: list[list[float]] = [[] for _ in askers]
        for _ in range(times + 1):
            for asker, mine, answers in zip(askers, taken, found, strict=True):
                if asker is askers[0] or question.grows:
                    ms, answer = asker.ask(question)
                    mine.append(ms)
                    answers[question.name] = (statistics.median(mine[1:] or mine), answer)
    return found


def promote(db: Path, report: Report) -> None:
    """Give a property a column, and wait until it is filled."""
    began = time.perf_counter()
    with EventTracking(db) as tracking:
        tracking.directory.set_rules(LIST_ID, indexed=[PROMOTED])
        while tracking.sql(FILLED).rows != [[1]]:
            time.sleep(0.5)
    report.progress(f"a property's column was filled in {time.perf_counter() - began:.1f} s")


def run_in_duckdb(store: FilledStore, times: int) -> dict[str, tuple[float, list[Any]]]:
    """Run the questions as SQL over the JSON of the events; return the milliseconds and the rows of each."""
    found = {}
    with open_database(store.db, Settings.from_environment()) as connection:
        for question in QUESTIONS:
            given = {"address": store.address} if "$address" in question.sql else {}
            found[question.name] = _time(lambda sql=question.sql, given=given: connection.execute(sql, given).fetchall(), times)
    return found


def _time(run: Any, times: int) -> tuple[float, list[Any]]:
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        rows = run()
        taken.append((time.perf_counter() - began) * 1e3)
    return statistics.median(taken), rows


def run_in_postgresql(store: FilledStore, folder: Path, times: int, report: Report) -> tuple[dict[str, float], str]:
    """Copy the events to PostgreSQL, and run the questions there. Return the milliseconds of each, and the server's version."""
    import psycopg

    found = {}
    with PostgreSQL(folder, shared_buffers="384MB") as server:
        with open_database(store.db, Settings.from_environment()) as connection:
            show(large_store.copy_to_postgresql(connection, server.dsn, folder), "events copied to PostgreSQL", report)
        with psycopg.connect(server.dsn, autocommit=True) as target:
            for question in QUESTIONS:
                given = [store.address] if "%s" in question.postgresql else None
                sql = question.postgresql.encode()
                found[question.name], _ = _time(lambda sql=sql, given=given: target.execute(sql, given).fetchall(), times + 1)
                report.progress(f"PostgreSQL: {question.name}: {found[question.name]:,.0f} ms")
        return found, server.version


def take_in(contender: Contender, asker: Asker, load: Load, seconds: int, rounds: int) -> dict[str, Any]:
    """Send events alone and while questions are asked one after the other, in turn. Return the medians and their ratios."""
    alone, beside, asked = list[Run](), list[Run](), 0
    for _ in range(rounds):
        alone.append(load.run(contender, CONNECTIONS, seconds))
        contender.resume()
        with _asking(asker) as counts:
            beside.append(load.run(contender, CONNECTIONS, seconds))
            contender.resume()
        asked += len(counts)
    speeds = [one.per_second / other.per_second for one, other in zip(beside, alone, strict=True)]
    delays = [one.p99_us / other.p99_us for one, other in zip(beside, alone, strict=True)]
    return {
        "ingest_per_second": statistics.median(one.per_second for one in beside),
        "ingest_p99_ms": statistics.median(one.p99_us for one in beside) / 1e3,
        "ingest_ratio": statistics.median(speeds),
        "ingest_ratios": speeds,
        "ingest_p99_ratio": statistics.median(delays),
        "questions_per_second": asked / seconds / rounds,
    }


@contextlib.contextmanager
def _asking(asker: Asker) -> Iterator[list[str]]:
    """Ask all questions in turn until the end of the block, from a thread. Yields the names of those answered."""
    asked: list[str] = []
    done = threading.Event()

    def ask() -> None:
        while not done.is_set():
            for question in QUESTIONS:
                if not done.is_set():
                    asker.ask(question)
                    asked.append(question.name)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield asked
    finally:
        done.set()
        thread.join()


def compare_answers(answers: Answers, rows: dict[str, tuple[float, list[Any]]]) -> None:
    """End the benchmark if an answer differs from that in SQL."""
    for question in QUESTIONS:
        if question.is_compared:
            found = [row["Metrics"][0] for row in answers[question.name][1]["Results"]]
            if [number for number in found if number] != [row[1] for row in rows[question.name][1]]:
                fail(f"{question.name}: the answer differs from that in SQL")


def arguments() -> argparse.Namespace:
    """Parse the options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--events", type=positive, default=1_000_000, metavar="N", help="size of the store")
    parser.add_argument("--times", type=positive, default=9, metavar="N", help="how often each question is asked")
    parser.add_argument("--sql-times", type=positive, default=2, metavar="N", help="how often each is asked in SQL")
    parser.add_argument("--beside", choices=("postgresql",), help="also load the events into PostgreSQL and ask there")
    parser.add_argument("--seconds", type=positive, default=5, metavar="S", help="length of a run of sending events")
    parser.add_argument("--rounds", type=positive, default=3, metavar="N", help="number of such runs")
    parser.add_argument("--generator", choices=GENERATORS, default="own", help="what sends events")
    parser.add_argument("--folder", type=Path, help="folder on a disk for the temporary databases")
    parser.add_argument("--json", action="store_true", help="print JSON, one object per line")
    return parser.parse_args()


def main() -> None:
    """Measure and report."""
    given = arguments()
    report = Report(given.json)
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(workplace(given.folder))
        options = {name: value for name, value in vars(given).items() if name not in ("folder", "json")}
        db = folder / "events.duckdb"
        load = Load(folder, "browser", VISITORS, NEW_PER_100, db, VISITORS, given.generator)
        store = FilledStore(db, given.events, DAYS, report)
        smaller = FilledStore(folder / "smaller.duckdb", -(-given.events // SHARE), DAYS // SHARE, report)
        report.progress(f"folded in {store.catalogue_us:.1f} us an event, and in {store.columns_us:.1f} us with typed columns")
        env = {"FALCON_EVENTS_ASKED_PROPERTIES": "0"}  # no property gets a column because it is asked for
        server = stack.enter_context(Contender("durable", db, "asgi", env=env))
        with Contender("durable", smaller.db, "asgi", env=env) as other:
            askers = [Asker(server, store), Asker(other, smaller)]
            answers, of_smaller = ask_all(askers, [one for one in QUESTIONS if not one.is_promoted], given.times)
            other.stop()
        promote(db, report)
        answers |= ask_all(askers[:1], [one for one in QUESTIONS if one.is_promoted], given.times)[0]
        taken = take_in(server, askers[0], load, given.seconds, given.rounds)
        server.stop()
        rows = run_in_duckdb(store, given.sql_times)
        compare_answers(answers, rows)
        in_postgresql, tools = dict[str, float](), version(given.generator)
        if given.beside:
            in_postgresql, tools["postgresql"] = run_in_postgresql(store, folder, given.sql_times, report)
        report.settings(describe(folder, tools=tools, **options))
    found = []
    for question in QUESTIONS:
        p50 = answers[question.name][0]
        record: dict[str, Any] = {
            "question": question.name,
            "events": given.events,
            "p50_ms": p50,
            "target_ms": question.target_ms,
        }
        if question.name in rows:
            record |= {"sql_ms": rows[question.name][0], "ratio": p50 / rows[question.name][0]}
        if question.name in in_postgresql:
            record |= {"postgresql_ms": in_postgresql[question.name], "to_postgresql": p50 / in_postgresql[question.name]}
        if question.grows:
            record["growth"] = p50 / of_smaller[question.name][0]
        found.append(record)
    report.figures(COLUMNS, [(one, [_cell(one.get(name)) for name in CELLS]) for one in found])
    sizes = {
        "bytes_per_event": store.bytes,
        "plain_bytes_per_event": store.plain_bytes,
        "size_ratio": store.bytes / store.plain_bytes,
    }
    times = {"catalogue_us": store.catalogue_us, "columns_us": store.columns_us}
    beside = {"events": given.events, **taken, **sizes, **times}
    report.figures(INGESTED, [(beside, ["all, one after the other", *(_cell(beside[name]) for name in INGESTED_CELLS)])])
    report.note("p50: over HTTP, one client. SQL: over the JSON of the events, in DuckDB. PostgreSQL: JSONB, with indices.")
    report.note(
        f"An event takes {store.bytes:.1f} bytes, {store.plain_bytes:.1f} without catalogue and typed columns, which are"
        f" written in {store.catalogue_us:.1f} and {store.columns_us:.1f} µs."
    )


CELLS = ("question", "events", "p50_ms", "target_ms", "sql_ms", "ratio", "postgresql_ms", "to_postgresql", "growth")
INGESTED_CELLS = ("ingest_per_second", "ingest_p99_ms", "ingest_ratio", "ingest_p99_ratio", "questions_per_second")


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:,}" if isinstance(value, int) else f"{value:,.3g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    main()
