"""The dashboard in a browser: signing in, waiting for a page to be complete, and what can be seen of it."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

from selenium.common.exceptions import JavascriptException, TimeoutException
from selenium.webdriver.common.by import By

from tests.harness import wait_until
from tests.server.browser.common import Browser

COMPLETE = """document.documentElement.dataset.left !== given
  && document.readyState === "complete" && document.querySelector("main") && !document.querySelector("[aria-busy]")
  && document.querySelectorAll("[data-chart]:not(script)").length === document.querySelectorAll(".u-wrap").length"""
WAIT = """const [given, done] = arguments;
const look = () => (%s) ? done(true) : setTimeout(look, 20);
look()"""
LEVELS = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa")
"""All rules of WCAG 2.2 AA."""
COLORS = ("color-contrast", "link-in-text-block")
"""The rules among them that look at colors."""
DRAWN = "requestAnimationFrame(() => requestAnimationFrame(arguments[0]))"
AXE = """
const [runOnly, done] = arguments;
axe.run(document, {runOnly, resultTypes: ["violations"]})
  .then((found) => done(found.violations.map((one) => [one.id, one.nodes.slice(0, 5).map((node) => node.html.slice(0, 300))])))
"""


def sign_in(browser: Browser, url: str, key: str) -> None:
    """Type a key into the form, as somebody does who has it."""
    browser.get(f"{url}/dashboard/")
    browser.find_element(By.NAME, "key").send_keys(key)
    browser.find_element(By.CSS_SELECTOR, "form button.primary").click()
    complete(browser)


def visit(browser: Browser, address: str) -> None:
    """Open a page, and wait until it is complete."""
    browser.get(address)
    complete(browser)


def complete(browser: Browser, left: str = "") -> None:
    """Wait until every part of the page is there, and every chart is drawn.

    Args:
        browser: the browser.
        left: the mark (`data-left`) of a page that it is about to leave; empty: it is there already.
    """
    wait_in_page(browser, COMPLETE, left, "the page is not complete")


def wait_in_page(browser: Browser, condition: str, given: str, message: str) -> None:
    """Wait until a condition holds in the page, or in one that it leads to. It is not asked for from here again and again.

    Args:
        browser: the browser.
        condition: an expression of JavaScript, about `given`.
        given: what it is about.
        message: what to say if it never holds.
    """

    def holds() -> bool:
        try:
            return bool(browser.execute_async_script(WAIT % condition, given))
        except (JavascriptException, TimeoutException):  # the page was left meanwhile, or it takes longer than a script may
            return False

    wait_until(holds, message)


def look(browser: Browser, width: int, *, dark: bool) -> None:
    """Look at pages in a window of this width, light or dark."""
    size = {"width": width, "height": 1000, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    browser.execute_cdp_cmd("Emulation.setScrollbarsHidden", {"hidden": True})
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
    browser.execute_async_script(DRAWN)


def picture(browser: Browser, path: Path, height: int | None = None) -> None:
    """Write a picture of the whole page, or of its upper part."""
    width, whole = (int(browser.js(f"document.documentElement.scroll{one}")) for one in ("Width", "Height"))
    clip = {"x": 0, "y": 0, "width": width, "height": min(height or whole, whole, 6000), "scale": 1}
    shot = browser.execute_cdp_cmd("Page.captureScreenshot", {"format": "png", "clip": clip, "captureBeyondViewport": True})
    path.write_bytes(base64.b64decode(shot["data"]))


def check_accessibility(browser: Browser, axe: str, rules: tuple[str, ...] = LEVELS) -> list[Any]:
    """Return the violations that axe-core finds on the page, each with some of its elements."""
    if not browser.js("!!window.axe"):
        browser.execute_cdp_cmd("Runtime.evaluate", {"expression": axe})
    found: list[Any] = browser.execute_async_script(AXE, rules)
    return found


def requests_of(browser: Browser) -> list[str]:
    """Every address that the browser has asked for, as its own log of the network says."""
    entries = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    return [entry["params"]["request"]["url"] for entry in entries if entry["method"] == "Network.requestWillBeSent"]
