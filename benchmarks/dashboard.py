"""The dashboard's first page as a browser loads it: the time of its parts, the bytes, and when the browser shows them."""

from __future__ import annotations

import argparse
import contextlib
import gzip
import html
import http.client
import re
import shutil
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.answers import DAYS, IDLE_S, FilledStore
from benchmarks.common import Contender, Report, describe, fail, positive, workplace
from falcon_events.dashboard.pages.overview import NOW_EVERY_S

ROOT = "/dashboard/"
RANGE_DAYS = 28
"""How long the range of time of the page is. Each round has another one, one day earlier, so that no answer of it is kept."""
BASELINE = "sign-in"
"""A page that asks no question."""
MOST_BYTES = 90_000
CONNECTIONS = 6
"""How many connections a browser opens to a server that speaks HTTP/1.1."""
COLUMNS = ("part", "events", "cold ms", "again ms", "÷ sign-in", "owner CPU ms", "server CPU ms", "bytes")
SHOWN = ("events", "first paint ms", "chart ms", "all parts ms")
ALL, ONE_BY_ONE = "the page and its parts", "the same, one after the other"
WATCHER = """
new MutationObserver(() => {
  const seen = window.seen ??= {};
  if (!seen.chart && document.querySelector(".u-wrap")) seen.chart = performance.now();
  const isWhole = document.readyState !== "loading" && document.querySelector("[data-part]")
    && !document.querySelector("[data-part][aria-busy], [data-part]:empty, [data-part] > .without-script");
  if (!seen.whole && isWhole) seen.whole = performance.now();
}).observe(document, {subtree: true, childList: true, attributes: true});
"""
"""Notes in the page when its chart is drawn, and when all of its parts are there."""
PAINTED = "return performance.getEntriesByName('first-contentful-paint')[0]?.startTime"


@dataclass
class Loaded:
    """A response: its body, its bytes with headers as they came, and the milliseconds that it took."""

    body: bytes
    size: int
    ms: float


class Visitor:
    """A browser's connections to the dashboard, signed in with a key.

    Args:
        port: the port of the server.
        api_key: the key.
    """

    def __init__(self, port: int, api_key: str) -> None:
        self._port = port
        self.cookies: dict[str, str] = {}
        self._idle: list[tuple[http.client.HTTPConnection, float]] = []
        self._pool = ThreadPoolExecutor(CONNECTIONS)
        form = self.get(BASELINE).body.decode()
        found = re.search('name="token" value="([0-9a-f]+)"', form)
        if found is None:
            fail(f"the page {BASELINE} has no form")
        self._send("POST", BASELINE, urlencode({"key": api_key, "token": found[1], "next": ""}))
        if len(self.cookies) < 2:
            fail(f"signing in sets no cookie: {self.cookies}")

    def get(self, address: str) -> Loaded:
        """Load an address below the dashboard's root; any status but 200 ends the benchmark."""
        return self._send("GET", address)

    def get_all(self, addresses: Sequence[str]) -> list[Loaded]:
        """Load several addresses at once, as a browser does."""
        return list(self._pool.map(self.get, addresses))

    def close(self) -> None:
        """Close the connections."""
        self._pool.shutdown()
        for connection, _ in self._idle:
            connection.close()
        self._idle.clear()

    def _take(self) -> tuple[http.client.HTTPConnection, float] | None:
        with contextlib.suppress(IndexError):
            return self._idle.pop()  # several threads take one
        return None

    def _send(self, method: str, address: str, body: str | None = None) -> Loaded:
        connection, used_at = self._take() or (http.client.HTTPConnection("127.0.0.1", self._port), 0.0)
        if time.perf_counter() > used_at + IDLE_S:
            connection.close()  # the request opens it again
        headers = {"Accept-Encoding": "gzip", "Cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items())}
        if body is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        began = time.perf_counter()
        connection.request(method, ROOT + address.removeprefix("./"), body, headers)
        answer = connection.getresponse()
        content = answer.read()
        ms = (time.perf_counter() - began) * 1e3
        self._idle.append((connection, time.perf_counter()))
        if answer.status != (200 if method == "GET" else 303):
            fail(f"{method} {address}: {answer.status} {content[:300]!r}")
        for cookie in answer.headers.get_all("Set-Cookie") or ():
            name, _, value = cookie.partition(";")[0].partition("=")
            self.cookies[name] = value
        size = len(content) + sum(len(name) + len(value) + 4 for name, value in answer.headers.items())
        return Loaded(gzip.decompress(content) if answer.headers.get("Content-Encoding") == "gzip" else content, size, ms)


def list_parts(page: bytes) -> list[str]:
    """Return the addresses of a page's parts, as its script asks for them."""
    return [html.unescape(one) + "&part=1" for one in re.findall('data-part="([^"]+)"', page.decode())]


def list_files(page: bytes) -> list[str]:
    """Return the addresses of the scripts and styles that a page names."""
    return list(dict.fromkeys(html.unescape(one) for one in re.findall('"(static/[^"]+)"', page.decode())))


def name_part(address: str) -> str:
    """Return the name of a part: its page, and the dimension of a table."""
    parts = urlsplit(address)
    by = parse_qs(parts.query).get("by", [""])[0]
    return " ".join(filter(None, [parts.path.removeprefix("./"), by]))


def name_range(number: int, today: date) -> str:
    """Return the range of time of a round; no other round has it."""
    last = today - timedelta(days=number)
    return f"?range={last - timedelta(days=RANGE_DAYS - 1)}..{last}"


def wait_for_another_now() -> None:
    """Wait until the question about those who are there now is another one, so that its answer is not kept."""
    time.sleep(NOW_EVERY_S - time.time() % NOW_EVERY_S + 0.05)


class Rounds:
    """Loads the page again and again, each time about another range.

    Args:
        contender: the server.
        visitor: who loads it.
        rounds: how often each figure is measured.
    """

    def __init__(self, contender: Contender, visitor: Visitor, rounds: int) -> None:
        self._contender = contender
        self._visitor = visitor
        self._rounds = rounds
        self._ranges = iter(range(10_000))
        self._today = datetime.now(UTC).date()

    def next_range(self) -> str:
        """Return the query string of a range that was not asked for before."""
        wait_for_another_now()
        return name_range(next(self._ranges), self._today)

    def measure_baseline(self) -> float:
        """Return the milliseconds of a page that asks no question."""
        return statistics.median(self._visitor.get(BASELINE).ms for _ in range(9 * self._rounds))

    def measure_whole(self) -> dict[str, Any]:
        """Load the page and then all of its parts at once. Return the figures."""
        return self._measure(lambda address: self._load_at_once(address))

    def measure_parts(self) -> list[dict[str, Any]]:
        """Load the page, then its parts one after the other. Return the figures of each, and of all."""
        taken: dict[str, list[dict[str, Any]]] = {}
        for number in range(self._rounds + 1):
            address = self.next_range()
            for part in ["./" + address, *list_parts(self._visitor.get(address).body)]:
                name = name_part(part) or "the page"
                cold, used = self._time(lambda part=part: self._visitor.get(part))
                again, _ = self._time(lambda part=part: self._visitor.get(part))
                if number:  # the first one warms the server up
                    figures = {"cold_ms": cold.ms, "again_ms": again.ms, **used, "bytes": cold.size}
                    taken.setdefault(name, []).append(figures)
        records = [{"part": name, **_middle(found)} for name, found in taken.items()]
        return [
            *records,
            {"part": ONE_BY_ONE, **{name: sum(one[name] for one in records) for name in records[0] if name != "part"}},
        ]

    def _measure(self, load: Callable[[str], int]) -> dict[str, Any]:
        taken = []
        for number in range(self._rounds + 1):
            address = self.next_range()
            (size, cold_ms), used = self._time(lambda address=address: _clock(lambda: load(address)))
            _, again_ms = _clock(lambda address=address: load(address))
            if number:
                taken.append({"cold_ms": cold_ms, "again_ms": again_ms, **used, "bytes": size})
        return {"part": ALL, **_middle(taken), "colds_ms": [one["cold_ms"] for one in taken]}

    def _load_at_once(self, address: str) -> int:
        page = self._visitor.get(address)
        return page.size + sum(one.size for one in self._visitor.get_all(list_parts(page.body)))

    def _time(self, load: Callable[[], Any]) -> tuple[Any, dict[str, float]]:
        """Return what a function returns, and the processor time of the server and of the store's owner meanwhile."""
        server, owner = self._contender.busy_s()
        loaded = load()
        server_after, owner_after = self._contender.busy_s()
        return loaded, {"owner_cpu_ms": (owner_after - owner) * 1e3, "server_cpu_ms": (server_after - server) * 1e3}


def _clock(run: Callable[[], Any]) -> tuple[Any, float]:
    began = time.perf_counter()
    result = run()
    return result, (time.perf_counter() - began) * 1e3


def _middle(taken: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the median of each time, the mean of each processor time, which has steps of 10 ms, and the most bytes."""
    return {
        name: max(one[name] for one in taken)
        if name == "bytes"
        else (statistics.mean if "cpu" in name else statistics.median)(one[name] for one in taken)
        for name in taken[0]
    }


def measure_browser(rounds: Rounds, visitor: Visitor, port: int, number: int, folder: Path) -> dict[str, float]:
    """Return when Chromium paints first, when the chart is drawn and when all parts are there, in milliseconds."""
    taken = []
    with _chromium(folder) as driver:
        driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": WATCHER})
        origin = f"http://127.0.0.1:{port}{ROOT}"
        driver.get(f"{origin}static/icon.svg")  # a page of the site, so that it can get cookies
        for name, value in visitor.cookies.items():
            driver.add_cookie({"name": name, "value": value, "path": "/"})
        for one in range(number + 1):
            address = rounds.next_range()
            driver.execute_cdp_cmd("Network.clearBrowserCache", {})
            driver.get(origin + address)
            found = _wait_until_seen(driver)
            if one:
                taken.append({"paint_ms": driver.execute_script(PAINTED), "chart_ms": found["chart"], "whole_ms": found["whole"]})
    return {name: statistics.median(one[name] for one in taken) for name in taken[0]}


@contextlib.contextmanager
def _chromium(folder: Path) -> Iterator[Any]:
    from selenium.webdriver import Chrome, ChromeOptions
    from selenium.webdriver.chrome.service import Service

    options = ChromeOptions()
    for flag in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--no-first-run", "--disable-gpu"):
        options.add_argument(flag)
    options.add_argument(f"--user-data-dir={folder / 'chromium'}")
    options.binary_location = str(shutil.which("chromium"))
    driver = Chrome(options, Service(shutil.which("chromedriver")))
    try:
        yield driver
    finally:
        driver.quit()


def _wait_until_seen(driver: Any) -> dict[str, float]:
    deadline = time.monotonic() + 60
    found: dict[str, float] = {}
    while not {"chart", "whole"} <= found.keys():
        if time.monotonic() > deadline:
            fail("the browser does not show the chart and all parts of the page within a minute")
        time.sleep(0.02)
        found = driver.execute_script("return window.seen") or {}
    return found


def arguments() -> argparse.Namespace:
    """Parse the options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--events", type=positive, default=1_000_000, metavar="N", help="size of the store")
    parser.add_argument("--days", type=positive, default=DAYS, metavar="N", help="over how many days they are spread")
    parser.add_argument("--rounds", type=positive, default=5, metavar="N", help="how often the page is loaded")
    parser.add_argument("--browser", action="store_true", help="also measure when Chromium shows the page")
    parser.add_argument("--folder", type=Path, help="folder on a disk for the temporary database")
    parser.add_argument("--json", action="store_true", help="print JSON, one object per line")
    return parser.parse_args()


def main() -> None:
    """Measure and report."""
    given = arguments()
    report = Report(given.json)
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(workplace(given.folder))
        store = FilledStore(folder / "events.duckdb", given.events, given.days, report)
        options = {name: value for name, value in vars(given).items() if name not in ("folder", "json")}
        report.settings(describe(folder, **options))
        server = stack.enter_context(Contender("durable", store.db, "asgi"))
        visitor = Visitor(server.port, store.api_key)
        stack.callback(visitor.close)
        rounds = Rounds(server, visitor, given.rounds)
        baseline = rounds.measure_baseline()
        records = [rounds.measure_whole(), *rounds.measure_parts()]
        page = visitor.get("").body
        records[0]["first_bytes"] = records[0]["bytes"] + sum(visitor.get(name).size for name in list_files(page))
        for record in records:
            record |= {"events": given.events, "baseline_ms": baseline, "ratio": record["cold_ms"] / baseline}
        shown = None
        if given.browser:
            shown = {"events": given.events, **measure_browser(rounds, visitor, server.port, given.rounds, folder)}
        visitor.close()
        server.stop()
    report.figures(COLUMNS, [(one, [_cell(one[name]) for name in CELLS]) for one in records])
    if shown is not None:
        report.figures(SHOWN, [(shown, [_cell(value) for value in shown.values()])])
    report.note(f"The page {BASELINE}, which asks nothing, takes {baseline:.1f} ms. Bytes: with headers, compressed where it is.")
    report.note(f"The first load with scripts and styles takes {records[0]['first_bytes']:,} bytes; the aim is {MOST_BYTES:,}.")


CELLS = ("part", "events", "cold_ms", "again_ms", "ratio", "owner_cpu_ms", "server_cpu_ms", "bytes")


def _cell(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:,.3g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    main()
