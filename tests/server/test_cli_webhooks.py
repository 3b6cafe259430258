"""The commands webhooks and deliveries."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from falcon_events import EventTracking
from tests import harness
from tests.harness import wait_until
from tests.receiver import receiving
from tests.shortcuts import command, make_store

ROOT = Path(__file__).parents[2]
SECRET = "whsec_dGhlIHNlY3JldCBvZiBhIHRlc3QsIGxvbmcgZW5vdWdo"
BARE = """
import importlib.util
find_spec = importlib.util.find_spec
importlib.util.find_spec = lambda name, *more: None if name == "standardwebhooks" else find_spec(name, *more)
"""


@pytest.fixture(scope="module")
def unused(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The path of a store in use, which has no webhook."""
    db = tmp_path_factory.mktemp("unused") / "events.duckdb"
    make_store(db)
    with EventTracking(db):
        yield db


def test_a_webhook_is_added_listed_and_removed(db: Path, tmp_path: Path) -> None:
    """The secret is printed once, where it was made, and never again."""
    make_store(db)
    given = tmp_path / "secret"
    given.write_text(SECRET + "\n")
    at = ("--db", str(db))
    with EventTracking(db):  # one owner for all commands
        made = command("webhooks", "add", "http://127.0.0.1:9/a", "--list", "94", "--event", "signup", *at)
        assert made.returncode == 0, made.stderr
        secret = made.stdout.decode().strip()
        assert secret.startswith("whsec_")
        again = command("webhooks", "add", "http://127.0.0.1:9/a", *at)
        assert again.stdout.decode() == "webhook http://127.0.0.1:9/a changed\n"
        for source, stdin in ((str(given), b""), ("-", SECRET.encode())):
            added = command("webhooks", "add", "http://127.0.0.1:9/b", "--secret-file", source, "--json", *at, stdin=stdin)
            assert added.returncode == 0, added.stderr
            assert json.loads(added.stdout)["url"] == "http://127.0.0.1:9/b"
            assert SECRET.encode() not in added.stdout + added.stderr
        for form in ((), ("--json",)):
            listed = command("webhooks", "list", *form, *at)
            assert b"http://127.0.0.1:9/a" in listed.stdout
            assert b"http://127.0.0.1:9/b" in listed.stdout
            assert b"whsec_" not in listed.stdout + listed.stderr
            assert secret.removeprefix("whsec_").encode() not in listed.stdout
        assert command("webhooks", "remove", "http://127.0.0.1:9/a", "--yes", *at).returncode == 0
        assert [row["url"] for row in json.loads(command("webhooks", "list", "--json", *at).stdout)] == ["http://127.0.0.1:9/b"]


def test_deliveries_are_listed_and_retried(db: Path) -> None:
    """One by its event's id, or all of them, while a tracker is in use."""
    healthy = threading.Event()
    at = ("--db", str(db))
    make_store(db)
    with receiving(lambda post: 200 if healthy.is_set() else 422) as receiver, EventTracking(db) as tracking:
        tracking.deliver(receiver.url, events=["step"])
        event_id = tracking.track(94, "step", email="ada@example.com").event_id
        tracking.track(94, "step", email="ada@example.com")
        wait_until(lambda: len(tracking.deliveries()) == 2, "nothing waits")
        rows = json.loads(command("deliveries", "list", "--json", *at).stdout)
        assert [(row["state"], row["attempts"], row["last_error"]) for row in rows] == [
            ("waiting", 1, "answered 422"),
            ("blocked", 0, None),
        ]
        assert event_id.encode() in command("deliveries", "list", "--state", "waiting", "--webhook", receiver.url, *at).stdout
        healthy.set()
        retried = command("deliveries", "retry", event_id, *at)
        assert retried.stdout == b"1 deliveries are retried\n", retried.stderr
        receiver.wait_for(2)
        wait_until(lambda: tracking.deliveries() == [], "it is still listed")
        assert command("deliveries", "retry", "--all", "--json", *at).stdout == b'{"deliveries":0}\n'


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("webhooks", "add", "ftp://example.com/"), "https:// or http://"),
        (("webhooks", "add", "https://example.com/", "--list", "7"), "--list 7: there is no such list"),
        (("webhooks", "add", "https://example.com/", "--secret-file", "missing"), "missing: No such file"),
        (("webhooks", "add", "https://example.com/", "--secret-file", "-"), "24 to 64 bytes"),
        (("webhooks", "add", "https://example.com/", "--event", ""), "it is empty"),
        (("webhooks", "remove", "https://example.com/", "--yes"), "no webhook"),
        (("deliveries", "list", "--webhook", "https://example.com/"), "no webhook"),
        (("deliveries", "list", "--state", "lost"), "lost"),
        (("deliveries", "retry"), "Either an event's id or --all"),
        (("deliveries", "retry", "7", "--all"), "not both"),
        (("deliveries", "retry", "7"), "the UUID of an event"),
        (("deliveries", "retry", "6d0c6f3e-63cf-4d0b-8a0e-1f0e6f5d7a11"), "No delivery of event"),
    ],
)
def test_an_error_is_one_line_and_exit_code_2(unused: Path, arguments: tuple[str, ...], words: str) -> None:
    """It names what is wrong."""
    done = command(*arguments, "--db", str(unused), stdin=b"not a secret")
    assert done.returncode == 2
    assert words in done.stderr.decode()
    assert len(done.stderr.decode().splitlines()) == 1
    assert b"not a secret" not in done.stderr


def test_without_the_extra_an_error_names_it(db: Path, tmp_path: Path) -> None:
    """Before a webhook is made that nobody could serve."""
    make_store(db)
    (tmp_path / "sitecustomize.py").write_text(BARE)
    env = {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    done = harness.command("webhooks", "add", "https://example.com/", "--db", str(db), env=env)
    assert done.returncode == 2
    assert "pip install 'falcon-events[deliver]'" in done.stderr.decode()
    assert json.loads(harness.command("webhooks", "list", "--json", "--db", str(db)).stdout) == []
