"""The examples run as their first lines say."""

from __future__ import annotations

import sys
from pathlib import Path

import httpx

from tests.harness import free_port, running


def test_the_falcon_shop_tracks_its_orders(tmp_path: Path) -> None:
    """An order is a conversion in the store, which the mounted endpoint guards with its own codes."""
    port = free_port()
    command = [sys.executable, "-m", "granian", "--interface", "wsgi", "examples.falcon_shop:app", "--port", str(port)]
    env = {"SHOP_DB": str(tmp_path / "shop.duckdb")}
    with running(command, tmp_path / "log", port=port, ready="/tracking/api/v1/event", env=env) as served:
        order = httpx.post(f"{served.url}/orders", json={"email": "ada@example.com", "value": 12.5})
        assert order.status_code == 201
        names = ["conversion-id", "conversion-name", "conversion-value"]
        found = httpx.get(f"{served.url}/properties").json()
        assert found == {"conversion": names, "identify": [*names, "emailAddress"]}
        refused = httpx.post(f"{served.url}/tracking/api/v1/event", json={"ListID": 1})
        assert refused.json()["Errors"][0]["Code"] == 99998


def test_fastapis_own_sessions_are_credentials(tmp_path: Path) -> None:
    """A session of the application tracks on the lists that the application says are the user's, and on no others."""
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "examples.fastapi_sessions:app", "--port", str(port)]
    env = {"SESSIONS_DB": str(tmp_path / "sessions.duckdb")}
    with running(command, tmp_path / "log", port=port, ready="/docs", env=env) as served:
        session = httpx.post(f"{served.url}/login", params={"user": "ada"}).json()["session"]
        event = {"SessionID": session, "event": "test", "email": "ada@example.com"}
        url = f"{served.url}/tracking/api/v1/event"
        assert httpx.post(url, json={**event, "ListID": 7}).status_code == 200
        assert httpx.post(url, json={**event, "ListID": 8}).json()["Errors"][0]["Code"] == 4
        assert httpx.post(url, json={**event, "ListID": 7, "SessionID": "x"}).status_code == 401
