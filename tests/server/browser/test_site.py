"""The documentation's site in a browser: its search finds a page, and no other host is asked for anything."""

from __future__ import annotations

import functools
import http.server
import threading
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from selenium.webdriver.common.by import By

from tests.harness import wait_until
from tests.server.browser.common import Browser
from tests.server.browser.dashboard import requests_of

ROOT = Path(__file__).parents[3]


class Quiet(http.server.SimpleHTTPRequestHandler):
    """A file server that logs nothing."""

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@pytest.mark.needs("chromium")
def test_the_site_is_searched_without_another_host(site: Path, browser: Browser) -> None:
    """A word of docs/durability.md leads there; every request went to the site's own server."""
    handler = functools.partial(Quiet, directory=str(site))
    requests_of(browser)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            browser.get(f"http://127.0.0.1:{server.server_port}/index.html")
            found = browser.find_element(By.CSS_SELECTOR, "input.md-search__input")
            browser.execute_script("document.querySelector('#__search').click()")
            wait_until(found.is_displayed, "the search cannot be used")
            found.send_keys("checksum")
            results = "a.md-search-result__link"
            wait_until(lambda: browser.find_elements(By.CSS_SELECTOR, results), "nothing is found")
            targets = [link.get_attribute("href") or "" for link in browser.find_elements(By.CSS_SELECTOR, results)]
            assert any("durability.html" in target for target in targets)
            asked = requests_of(browser)
        finally:
            server.shutdown()
            thread.join()
    assert any(url.endswith("search_index.json") for url in asked)
    hosts = {urlsplit(url).netloc for url in asked if urlsplit(url).scheme not in ("data", "chrome", "blob")}
    assert hosts == {f"127.0.0.1:{server.server_port}"}
