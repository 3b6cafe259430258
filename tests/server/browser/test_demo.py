"""The page that shows the tracker at work, as somebody sees it who tries it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from falcon_events import EventTracking
from tests.harness import Served, serving, wait_until
from tests.server.browser.common import Browser, Events
from tests.shortcuts import command, make_store

CONTRASTS = """
const linear = (c) => (c /= 255) <= .04045 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4;
const channels = (color) => color.match(/[\\d.]+/g).slice(0, 3).map(linear);
const luminance = (color) => channels(color).reduce((sum, c, n) => sum + c * [.2126, .7152, .0722][n], 0);
const ground = (node) => {
  const color = getComputedStyle(node).backgroundColor;
  return /, 0\\)$/.test(color) ? ground(node.parentElement) : color;
};
return [...document.querySelectorAll("body *")]
  .filter((node) => node.offsetParent && [...node.childNodes].some((child) => child.nodeType === 3 && child.textContent.trim()))
  .map((node) => {
    const [a, b] = [luminance(getComputedStyle(node).color), luminance(ground(node))];
    return [node.textContent.trim().slice(0, 40), (Math.max(a, b) + .05) / (Math.min(a, b) + .05)];
  })
  .filter(([, contrast]) => contrast < 4.5);
"""
BRIGHTNESS = """
const done = arguments[1], picture = new Image();
picture.onload = () => {
  const canvas = document.createElement("canvas"), context = canvas.getContext("2d");
  [canvas.width, canvas.height] = [picture.width, picture.height];
  context.drawImage(picture, 0, 0);
  const bytes = context.getImageData(0, 0, picture.width, picture.height).data;
  const levels = {};
  for (let n = 0; n < bytes.length; n += 4) levels[bytes[n + 1] >> 4] = (levels[bytes[n + 1] >> 4] || 0) + 1;
  done([+Object.entries(levels).sort((a, b) => b[1] - a[1])[0][0], Object.keys(levels).length]);
};
picture.src = "data:image/png;base64," + arguments[0];
"""


def shown(browser: Browser) -> list[str]:
    """The types of the events that the page shows, the last one first."""
    types: list[str] = browser.js("[...document.querySelectorAll('#events summary strong')].map(node => node.textContent)")
    return types


def status(browser: Browser) -> str:
    """What the page says of events."""
    return browser.find_element("id", "status").text


def press(browser: Browser, selector: str) -> None:
    """Clicks the button."""
    browser.find_element("css selector", selector).click()


def picture(browser: Browser) -> Any:
    """The most frequent brightness of the page as it looks, from 0 to 15, and how many there are."""
    image, page = browser.get_screenshot_as_base64(), browser.current_window_handle
    browser.switch_to.new_window("tab")
    found = browser.execute_async_script(BRIGHTNESS, image)
    browser.close()
    browser.switch_to.window(page)
    return found


def test_every_call_is_a_button_and_its_event_arrives_before_ones_eyes(one_flavour: str, db: Path, browser: Browser) -> None:
    """From waiting, over the first event, to the last 20."""
    make_store(db)
    with serving(db, one_flavour, "--demo", "--demo-list", "95") as served:
        browser.before_pages("addEventListener('DOMContentLoaded', () => { window.first = status.textContent })")
        browser.before_pages("Object.defineProperty(window, 'status', {get: () => document.getElementById('status')})")
        browser.get(served.url + "/tracker")
        assert browser.js("window.first") == "waiting for the first event"
        wait_until(lambda: shown(browser) == ["pageView"], "the page's own view does not arrive")
        assert status(browser) == "an event has been received"
        expected = ["pageView"]
        for call, event in (("eventI", "identify"), ("eventT", "signup"), ("eventC", "conversion"), ("eventP", "pageView")):
            press(browser, f"[data-call={call}] button")
            expected.insert(0, event)
            wait_until(lambda: shown(browser) == expected, f"{expected} is not shown")
        events = Events(db, 95)
        assert events.values("conversion-value")[-2:] == [290.5, None]
        assert events.values("url")[-1] == served.url + "/pricing"
        assert 'data-list="95"' in browser.find_element("id", "snippet").text
        assert f'src="{served.url}/tracker.js' in browser.find_element("id", "snippet").text
        press(browser, "[data-plain=optOut]")
        assert browser.find_element("id", "silent").is_displayed()
        press(browser, "[data-call=eventT] button")
        press(browser, "[data-plain=optIn]")
        assert not browser.find_element("id", "silent").is_displayed()
        for _ in range(18):
            press(browser, "[data-call=eventT] button")
        wait_until(lambda: shown(browser) == ["signup"] * 18 + expected[:2], "20 events are not shown")
        assert len(events.column("event")) == 23
        assert len(set(events.column("visitor"))) == 2  # who opted out and in again is somebody new
        events.close()
        assert [line for line in browser.console() if "favicon" not in line] == []
        assert served.stop() == 0, "the open stream must not keep the server from ending"
    with EventTracking(db) as tracking:
        keys = tracking.directory.keys()
    (key,) = (key for key in keys if key.origins)
    assert key.origins == [f"http://127.0.0.1:{served.port}", f"http://localhost:{served.port}"]
    assert key.revoked_at is not None
    assert key.list_ids == [95]


def test_the_page_can_be_read_by_everybody(db: Path, browser: Browser) -> None:
    """Light and dark, with contrast; on a phone without sideways scrolling; every field has a label."""
    make_store(db)
    with serving(db, "asgi", "--demo") as served:
        browser.get(served.url + "/tracker")
        wait_until(lambda: shown(browser), "the page's own view does not arrive")
        wait_until(lambda: browser.js("document.getAnimations().length") == 0, "an event's arrival is animated for ever")
        for scheme, is_bright in (("light", True), ("dark", False)):
            features = [{"name": "prefers-color-scheme", "value": scheme}]
            browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
            assert browser.execute_script(CONTRASTS) == []
            ground, levels = picture(browser)
            assert (ground > 12) is is_bright
            assert levels > 8  # text and buttons stand out of it
        assert browser.js("[...document.querySelectorAll('input')].filter(field => !field.labels.length).length") == 0
        assert browser.js("document.documentElement.lang") == "en"
        phone = {"width": 360, "height": 740, "deviceScaleFactor": 1, "mobile": True}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", phone)
        assert browser.js("document.documentElement.scrollWidth") == 360


def test_a_stream_goes_on_where_it_was(flavour: str, db: Path) -> None:
    """A browser that comes again gets what it has missed, and nothing twice; one that stays does not keep the server."""
    make_store(db)
    with EventTracking(db) as tracking:
        for number in range(25):
            tracking.track(94, f"test-{number}", uuid="6e8de1d3-30ba-4299-af32-3e7f08a8dfb8")
    with serving(db, flavour, "--demo") as served:
        seen = read_stream(served.url, 20)
        assert [data for _, data in seen] == [f"test-{number}" for number in range(5, 25)]
        again = read_stream(served.url, 3, after=seen[16][0])
        assert again == seen[17:]
        for nonsense in ("x", "-1", "9" * 40):
            assert len(read_stream(served.url, 20, after=nonsense)) == 20
        with httpx.stream("GET", served.url + "/tracker/events", timeout=30) as answer:
            assert next(answer.iter_lines())
            assert served.stop() == 0


def test_the_page_is_off_unless_asked_for(flavour: str, servers: Callable[[str], Served]) -> None:
    """It shows events to anybody."""
    client = servers(flavour).client
    assert client.get("/tracker").status_code == 404
    assert client.get("/tracker/events").status_code == 404


def test_the_page_is_of_a_list_that_there_is(db: Path) -> None:
    """Another one is told in one line."""
    make_store(db)
    refused = command("serve", "--db", str(db), "--demo-list", "4711")
    assert (refused.returncode, refused.stderr) == (2, b"falcon-events: --demo-list 4711: there is no such list.\n")


def read_stream(url: str, count: int, after: str | None = None) -> list[tuple[str, str]]:
    """The ids and types of so many events of the stream."""
    headers = {} if after is None else {"Last-Event-ID": after}
    found: list[tuple[str, str]] = []
    with httpx.stream("GET", url + "/tracker/events", headers=headers, timeout=30) as answer:
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        assert answer.headers["Cache-Control"] == "no-store"
        identity = ""
        for line in answer.iter_lines():
            name, _, value = line.partition(": ")
            if name == "id":
                identity = value
            if name == "data":
                found.append((identity, json.loads(value)["event"]))
            if len(found) == count:
                break
    return found
