"""The page about the API, as somebody sees it who reads it: every operation, and no other host is asked for anything."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from falcon_events.contract.openapi import openapi_document
from tests.harness import serving, wait_until
from tests.server.browser.common import Browser
from tests.server.browser.dashboard import requests_of
from tests.shortcuts import make_store

SHADOWED = """
const within = (node) => node.shadowRoot ? texts(node.shadowRoot) : "";
const texts = (root) => [root.textContent, ...[...root.querySelectorAll("*")].map(within)].join(" ");
return texts(document.querySelector("rapi-doc").shadowRoot);
"""


def test_the_page_shows_every_operation_and_asks_no_other_host(one_flavour: str, db: Path, browser: Browser) -> None:
    """All of them with their parameters; the policy stops nothing that the page needs, and a request can be tried."""
    made = make_store(db)
    requests_of(browser)
    with serving(db, one_flavour) as served:
        browser.get(served.url + "/docs")
        shown = ""

        def is_rendered() -> bool:
            nonlocal shown
            shown = str(browser.execute_script(SHADOWED))
            return "Retrieve event properties" in shown

        wait_until(is_rendered, "the operations are not shown")
        document: Any = openapi_document()
        for path, methods in document["paths"].items():
            assert path in shown
            for operation in methods.values():
                assert operation["summary"] in shown
        for parameter in document["components"]["schemas"]["EventRequest"]["properties"]:
            assert parameter in shown
        asked = requests_of(browser)
        assert all(address.startswith((served.url, "data:", "chrome:")) for address in asked), asked  # chrome: is a new tab's
        assert f"{served.url}/openapi.json" in asked
        assert browser.console() == []
        answer = browser.execute_async_script(
            """const done = arguments[1], request = document.querySelector("rapi-doc").shadowRoot
                .querySelector("[id='get-/api/v1/website_events.properties'] api-request");
            request.api_keys = [{in: "header", name: "Authorization", finalKeyValue: "Bearer " + arguments[0]}];
            const inner = request.shadowRoot;
            inner.querySelector("[data-pname=ListID]").value = "94";
            inner.querySelector("[part~=btn-try]").click();
            const look = () => request.responseText.startsWith("{") ? done(request.responseText) : setTimeout(look, 50);
            setTimeout(look, 50);""",
            made.full,
        )
        assert json.loads(answer)["ListID"] == "94"
