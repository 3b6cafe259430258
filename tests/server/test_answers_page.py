"""Every question of docs/answers.md: command, request and call in Python give the same answer, which is the right one."""

from __future__ import annotations

import csv
import io
import json
import re
import shlex
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import falcon
import falcon.testing
import msgspec
import pytest

from falcon_events import EventTracking
from falcon_events.http import mount
from tests.blocks import blocks_of
from tests.shortcuts import command

pytestmark = pytest.mark.database

PAGE = Path(__file__).parents[2] / "docs" / "answers.md"
SECTIONS = dict(section.split("\n", 1) for section in PAGE.read_text(encoding="utf-8").split("\n## ")[1:])
QUESTIONS = {
    heading: {block.language: block.text for block in blocks_of(text, "")}
    for heading, text in SECTIONS.items()
    if "```http" in text
}
ADA, BOB, CAROL, DAN, ERIN, *BUYERS = (str(uuid.UUID(int=number, version=4)) for number in range(1, 9))


def sample() -> Iterator[dict[str, Any]]:
    """What a shop saw in the last weeks, and three orders of 2025; each event as the arguments of track()."""
    now = datetime.now(UTC)

    def ago(days: float, visitor: str, event: str, email: str | None = None, **properties: Any) -> dict[str, Any]:
        at = (now - timedelta(days=days)).isoformat()
        properties = {name.replace("_", "-"): value for name, value in properties.items()}
        return {"timestamp": at, "uuid": visitor, "event": event, "email": email, "properties": properties}

    def order(number: int, value: float) -> dict[str, Any]:
        return {"conversion_id": str(number), "conversion_name": "order", "conversion_value": value}

    page = "https://shop.example"
    ten_minutes = 1 / 144
    yield ago(70, CAROL, "signup", "carol@example.com", plan="free", seats=1)
    yield ago(60, CAROL, "conversion", "carol@example.com", **order(1, 80))
    yield ago(50, CAROL, "conversion", "carol@example.com", **order(2, 40))
    yield ago(12, ADA, "pageView", url=f"{page}/pricing")
    yield ago(10, ERIN, "pageView", url=f"{page}/blog")
    yield ago(9, ERIN, "pageView", url=f"{page}/")
    yield ago(9 - ten_minutes, ERIN, "signup", "erin@example.com", plan="free", seats="many")
    yield ago(6, DAN, "pageView", url=f"{page}/")
    yield ago(6 - ten_minutes, DAN, "pageView", url=f"{page}/pricing")
    yield ago(5, ADA, "pageView", url=f"{page}/pricing?utm_campaign=spring")
    yield ago(5 - ten_minutes, ADA, "signup", "ada@example.com", plan="pro", seats=5)
    yield ago(4, ADA, "conversion", "ada@example.com", **order(3, 120))
    yield ago(3, BOB, "pageView", url=f"{page}/pricing")
    yield ago(2, BOB, "signup", "bob@example.com", plan="free", seats=1)
    yield ago(2, ERIN, "pageView", url=f"{page}/")
    yield ago(1, ADA, "pageView", url=f"{page}/")
    for number, (at, value) in enumerate(
        [("2025-01-15T12:00:00Z", 100), ("2025-01-31T23:30:00Z", 50), ("2025-03-10T12:00:00Z", 25)]
    ):
        given = {name.replace("_", "-"): told for name, told in order(10 + number, value).items()}
        yield {"timestamp": at, "uuid": BUYERS[number], "event": "conversion", "email": None, "properties": given}


@pytest.fixture(scope="module")
def tracking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EventTracking]:
    """A store in use that has the sample."""
    with EventTracking(tmp_path_factory.mktemp("answers") / "events.duckdb") as tracking:
        tracking.directory.ensure_list(1, "Shop")
        for event in sample():
            tracking.track(1, **event)
        yield tracking


@pytest.fixture(scope="module")
def client(tracking: EventTracking) -> falcon.testing.TestClient:
    """The API on the store."""
    app = falcon.App()
    mount(app, tracking)
    key = tracking.directory.create_key("default", "read").key
    return falcon.testing.TestClient(app, headers={"Authorization": f"Bearer {key}"})


def ask_http(request: str, client: falcon.testing.TestClient) -> str:
    """Send a request as the page has it; return the answer."""
    line, body = request.split("\n\n", 1)
    method, path = line.split()
    answered = client.simulate_request(method, path, json=json.loads(body))
    assert answered.status_code == 200, answered.text
    return answered.text


def ask_command(text: str, tracking: EventTracking, *more: str) -> str:
    """Run a command as the page has it; return what it printed."""
    program, *words = shlex.split(text)
    assert program == "falcon-events"
    done = command(*words, *more, "--db", str(tracking.store.path))
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


def ask_python(code: str, tracking: EventTracking) -> Any:
    """Run a call as the page has it; return its answer."""
    names: dict[str, Any] = {"tracking": tracking}
    exec(code, names)
    return names["answer"]


def test_the_page_has_ten_questions() -> None:
    """Each with a command, a request and a call."""
    assert len(QUESTIONS) == 10
    assert all({"sh", "http", "python"} <= found.keys() for found in QUESTIONS.values())
    assert sum(len(found) for found in QUESTIONS.values()) == len(
        re.findall(r"^```\w", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    )


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_question_has_one_answer(question: str, tracking: EventTracking, client: falcon.testing.TestClient) -> None:
    """From the command, over HTTP and in Python, and the table that the page shows."""
    blocks = QUESTIONS[question]
    while True:
        before = ask_http(blocks["http"], client)
        printed, called = ask_command(blocks["sh"], tracking, "--json"), ask_python(blocks["python"], tracking)
        if ask_http(blocks["http"], client) == before:  # else midnight lies between
            break
    assert printed == before + "\n"
    assert called == msgspec.json.decode(before, type=type(called))
    assert called.rows
    if "text" in blocks:
        assert ask_command(blocks["sh"], tracking) == blocks["text"]


def read(question: str, tracking: EventTracking) -> list[dict[str, str]]:
    """Return the rows of a question's answer."""
    return list(csv.DictReader(io.StringIO(ask_command(QUESTIONS[question]["sh"], tracking, "--csv"))))


def test_what_the_page_shows_no_table_of(tracking: EventTracking) -> None:
    """Cohorts of signups, a timeline with an anonymous past, and those who bought and sleep."""
    cohorts = read("Do those who sign up come back?", tracking)
    started = {row["cohort"]: int(row["size"]) for row in cohorts}
    assert sum(started.values()) == 4
    first = next(row["cohort"] for row in cohorts if row["size"] != "0")
    returned = [row["returned"] for row in cohorts if row["cohort"] == first]
    assert returned in (["1", "1", "0", "1"], ["1", "1", "1", "0"], ["1", "0", "1", "1"])  # by the weekday
    assert [row["event"] for row in read("What did ada@example.com do?", tracking)] == [
        *("pageView", "conversion", "signup"),
        *("pageView", "pageView"),
    ]
    sleeping = read("Who bought twice and has not come for 30 days?", tracking)
    assert [row["email"] for row in sleeping] == ["carol@example.com"]
