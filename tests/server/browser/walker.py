"""Somebody who walks over the dashboard in a browser: clicks, reads tables, and notes what the browser did meanwhile."""

from __future__ import annotations

import itertools
import json
from typing import Any, Self

from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.select import Select

from tests.server.browser.common import Browser
from tests.server.browser.dashboard import complete, visit

REPORT = """document.addEventListener("securitypolicyviolation", (violation) =>
  console.error("policy", violation.violatedDirective, violation.blockedURI));
addEventListener("unhandledrejection", (event) => console.error("unhandled", event.reason));"""
"""Has pages tell the console what it would not have otherwise."""
TABLE = """const table = document.querySelector(arguments[0]);
const read = (cell) => cell.innerText.replace(/\\s+/g, " ").trim();
return table ? [...table.rows].map((row) => [...row.cells].map(read)) : []"""
TEXTS = """return [...document.querySelectorAll(arguments[0])].map((one) => one.innerText.replace(/\\s+/g, " ").trim())"""
FACTS = """const read = (one) => one.innerText.replace(/\\s+/g, " ").trim();
return [...document.querySelectorAll(arguments[0] + " dt")].map((name) => [read(name), read(name.nextElementSibling)])"""
BUTTON = """const [text, selector, mark] = arguments;
const named = (one) => one.innerText.replace(/\\s+/g, " ").trim() === text && one.checkVisibility();
const found = [...document.querySelector(selector).querySelectorAll("a, button, summary")].find(named);
const leads = found?.matches("a:not([data-tab], [data-open]), button:not([type=button])");
if (leads) document.documentElement.dataset.left = mark;
return found ? [found, leads] : null"""
CELL = """const [selector, name, column, mark] = arguments;
document.documentElement.dataset.left = mark;
const row = [...document.querySelectorAll(`${selector} tbody tr`)].find((one) => one.cells[0].innerText.trim().startsWith(name));
return row ? row.cells[column].querySelector("a") : null"""
SENDING = """const [field, mark] = arguments;
const isSent = field.closest("form[data-submit-on-change]") !== null;
if (isSent) document.documentElement.dataset.left = mark;
return isSent"""
LOCAL = ("data:", "blob:", "chrome:", "about:")
"""How addresses begin for which a browser asks nobody."""


class Walker:
    """A person in front of a browser.

    Args:
        browser: the browser, with a log of its network.
        root: the address of the dashboard, with a slash at its end.
    """

    def __init__(self, browser: Browser, root: str) -> None:
        self.browser = browser
        self.root = root
        self._numbers = itertools.count()
        self._scripts: list[dict[str, Any]] = []
        self.asked: list[str] = []
        """Every address that the browser has asked for since forget()."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: object) -> None:
        for script in self._scripts:
            self.browser.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", script)

    def before_pages(self, code: str) -> None:
        """Have every page run code before its own, until this person leaves."""
        self._scripts.append(self.browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": code}))

    def forget(self) -> None:
        """Forget what the browser did until now."""
        self._read_network()
        self.browser.console()
        self.asked.clear()

    def check_behavior(self) -> None:
        """Assert that the browser asked for nothing outside the dashboard, that all came, and that no page complained."""
        failed = self._read_network()
        outside = [one for one in self.asked if not one.startswith((self.root, *LOCAL))]
        assert (outside, failed) == ([], [])
        told = [one["message"] for one in self.browser.get_log("browser") if one["level"] in ("SEVERE", "WARNING")]
        assert told == []

    def _read_network(self) -> list[Any]:
        """Note the addresses that were asked for. Return the answers that were refusals, or came from another machine."""
        failed = []
        for entry in self.browser.get_log("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                self.asked.append(message["params"]["request"]["url"])
            elif message["method"] == "Network.webSocketCreated":
                failed.append(message["params"]["url"])
            elif message["method"] == "Network.responseReceived":
                answer = message["params"]["response"]
                if answer["status"] >= 400 or answer.get("remoteIPAddress", "127.0.0.1") != "127.0.0.1":
                    failed.append([answer["status"], answer["url"], answer.get("remoteIPAddress")])
        return failed

    def visit(self, page: str = "") -> None:
        """Open a page of the dashboard by its address."""
        visit(self.browser, self.root + page)

    def go(self, page: str) -> None:
        """Go to another page by the navigation."""
        self.click(page, "header nav")
        assert self.read("header nav [aria-current=page]") == page

    def back(self, page: str) -> None:
        """Press the browser's button, which leads to a page with this heading."""
        mark = self._mark()
        self.browser.execute_script("document.documentElement.dataset.left = arguments[0]", mark)
        self.browser.back()
        complete(self.browser, mark)
        assert self.read("h1") == page

    def find(self, selector: str) -> WebElement:
        """Return the first element that a selector names."""
        return self.browser.find_element(By.CSS_SELECTOR, selector)

    def read(self, selector: str) -> str:
        """Return the text of the first element that a selector names; empty if there is none."""
        return next(iter(self.read_all(selector)), "")

    def read_all(self, selector: str) -> list[str]:
        """Return the text of every element that a selector names."""
        texts: list[str] = self.browser.execute_script(TEXTS, selector)
        return texts

    def table(self, selector: str) -> list[list[str]]:
        """Return the rows of a table below its head, or of the first one within an element, each with the text of its cells."""
        inner = selector if selector.split()[-1].startswith("table") else f"{selector} table"
        rows: list[list[str]] = self.browser.execute_script(TABLE, inner)
        return rows[1:]

    def card(self, title: str) -> list[list[str]]:
        """Return the rows of a card's table."""
        return self.table(f"[aria-labelledby=card-{title}]")

    def facts(self, selector: str) -> list[tuple[str, str]]:
        """Return the names and values of a list of facts."""
        return [(name, value) for name, value in self.browser.execute_script(FACTS, selector)]

    def figures(self) -> list[tuple[str, str, str]]:
        """Return the name, the amount and the comparison of each figure."""
        parts = (self.read_all(f".figure .{one}") for one in ("name", "amount", "against"))
        return list(zip(*parts, strict=True))

    def click(self, text: str, within: str = "main") -> None:
        """Click on the link, the button or the heading of a fold that has this text, and wait for what comes of it."""
        mark = self._mark()
        found = self.browser.execute_script(BUTTON, text, within, mark)
        assert found, f"{text!r} is not in {within} of {self.browser.current_url}"
        element, leads_elsewhere = found
        element.click()
        complete(self.browser, mark if leads_elsewhere else "")

    def click_cell(self, selector: str, row: str, column: int) -> None:
        """Click on the link in a cell of a table.

        Args:
            selector: the table, or something around it.
            row: how the row's first cell begins.
            column: the cell's place in the row, from 0 on.
        """
        mark = self._mark()
        found = self.browser.execute_script(CELL, selector, row, column, mark)
        assert found, f"no link in column {column} of the row {row!r} in {selector}"
        found.click()
        complete(self.browser, mark)

    def write(self, selector: str, text: str) -> None:
        """Write a text into a field, in place of what it has."""
        field = self.find(selector)
        field.clear()
        field.send_keys(text)

    def choose(self, selector: str, text: str) -> None:
        """Choose an option by its text; some forms are sent by that."""
        mark = self._mark()
        field = self.find(selector)
        is_sent = self.browser.execute_script(SENDING, field, mark)
        Select(field).select_by_visible_text(text)
        complete(self.browser, mark if is_sent else "")

    def _mark(self) -> str:
        """Return a new mark for a page that is about to be left, by which it is known until the next one is there."""
        return str(next(self._numbers))

    def persons(self) -> list[str]:
        """Return the persons on a page of people, by name; their number stands above them."""
        named = sorted(row[0] for row in self.table(".persons"))
        assert self.read("#persons") == f"{len(named)} {'person' if len(named) == 1 else 'people'}"
        return named
