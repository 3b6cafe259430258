"""The commands for web pages and for the people behind the events."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from falcon_events import EventTracking
from tests.harness import Credentials, plain, serving
from tests.shortcuts import command, make_store

CRAWLER = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"
SHOP = "https://shop.example.com"


@pytest.fixture
def filled(db: Path) -> Iterator[Credentials]:
    """A store with lists and keys, open meanwhile: no command has to start an owner process."""
    credentials = make_store(db)
    with EventTracking(db) as tracking:
        tracking.open()
        yield credentials


def run(db: Path, *arguments: str, stdin: bytes = b"") -> str:
    """What a command prints that must succeed."""
    done = command(*arguments, "--db", str(db), stdin=stdin)
    assert done.returncode == 0, done.stderr
    return done.stdout.decode()


def refused(db: Path, *arguments: str) -> str:
    """The one line of a command that must fail."""
    done = command(*arguments, "--db", str(db))
    assert done.returncode == 2
    lines = done.stderr.decode().splitlines()
    assert len(lines) == 1
    return lines[0]


def as_json(db: Path, *arguments: str) -> Any:
    """What a command prints with --json."""
    return json.loads(run(db, *arguments, "--json"))


def test_a_key_is_bound_when_it_is_made(db: Path, filled: Credentials) -> None:
    """To origins and lists; the list of keys shows both."""
    made = as_json(
        db, "keys", "create", "--account", "alice", "--scope", "ingest", "--origin", SHOP, "--list", "94", "--list", "95"
    )
    key = next(key for key in as_json(db, "keys", "list") if key["key_id"] == made["key_id"])
    assert (key["origins"], key["list_ids"]) == ([SHOP], [94, 95])
    assert SHOP in run(db, "keys", "list")
    create = ("keys", "create", "--account", "alice")
    assert "ingest" in refused(db, *create, "--origin", SHOP)
    assert SHOP not in refused(db, *create, "--scope", "ingest", "--origin", "shop")
    assert "96" in refused(db, *create, "--scope", "ingest", "--list", "96")


def test_the_rules_of_a_list(db: Path, filled: Credentials) -> None:
    """Shown, changed one by one, cleared; what is dropped is counted in stats."""
    assert as_json(db, "lists", "rules", "94") == {
        "list_id": 94,
        "bots": "tag",
        "denied": [],
        "redacted": [],
        "time_zone": "UTC",
        "indexed": [],
        "keep_days": None,
    }
    run(db, "lists", "rules", "94", "--deny", "secret", "--redact", "phone")
    run(db, "lists", "rules", "94", "--time-zone", "Europe/Berlin")
    changed = as_json(db, "lists", "rules", "94", "--bots", "drop")
    rules = {"list_id": 94, "bots": "drop", "denied": ["secret"], "redacted": ["phone"], "time_zone": "Europe/Berlin"}
    assert changed == {**rules, "indexed": [], "keep_days": None}
    with serving(db) as served:
        for agent in ("Mozilla/5.0 Firefox/130.0", CRAWLER):
            body = filled.event(properties={"secret": 1, "phone": "2", "other": 3})
            assert served.client.post("/api/v1/event", json=body, headers={"User-Agent": agent}).status_code == 200
    assert as_json(db, "properties", "--list", "94")["Properties"]["test"] == ["other", "phone"]
    ((dropped),) = as_json(db, "stats")["dropped"]
    assert (dropped["list_id"], dropped["events"]) == (94, 1)
    assert "no visitor sent" in run(db, "stats")
    cleared = run(db, "lists", "rules", "94", "--clear", "--bots", "keep")
    assert cleared == "bots      keep\ndenied    -\nredacted  -\ntime zone UTC\nindexed   -\nkeep days -\n"
    assert "no list 97" in refused(db, "lists", "rules", "97")
    assert "emailAddress" in refused(db, "lists", "rules", "94", "--deny", "emailAddress")


def test_indexed_properties_of_a_list(db: Path, filled: Credentials) -> None:
    """They are shown, replaced, taken back one by one or all, and refused if they are too many or no rule of the list."""
    rules = ("lists", "rules", "94")
    assert as_json(db, *rules, "--index", "plan", "--index", 'a"b[0]/$.😀')["indexed"] == ['a"b[0]/$.😀', "plan"]
    assert run(db, *rules).endswith('indexed   a"b[0]/$.😀, plan\nkeep days -\n')
    with serving(db) as served:
        for number in range(3):
            body = filled.event(properties={"plan": f"p{number}", 'a"b[0]/$.😀': [number]})
            assert served.client.post("/api/v1/event", json=body).status_code == 200
        rows = as_json(db, "query", "--list", "94", "--by", "property:plan", "--metric", "events")["Results"]
        assert [row["Dimensions"] for row in rows] == [["p0"], ["p1"], ["p2"]]
        assert '"plan"' in run(db, "doctor")
        assert as_json(db, *rules, "--no-index", "plan", "--deny", "secret")["indexed"] == ['a"b[0]/$.😀']
        assert as_json(db, *rules, "--index", "price")["indexed"] == ["price"]
        again = as_json(db, "query", "--list", "94", "--by", "property:plan", "--metric", "events")["Results"]
        assert again == rows
    assert "has no index of 'plan'" in refused(db, *rules, "--no-index", "plan")
    names = [word for number in range(21) for word in ("--index", str(number))]
    assert "at most 20 names" in refused(db, *rules, *names)
    assert as_json(db, *rules)["indexed"] == ["price"]
    assert as_json(db, *rules, "--no-index", "price")["indexed"] == []
    assert as_json(db, *rules, "--index", "plan")["denied"] == ["secret"]
    assert as_json(db, *rules, "--clear")["indexed"] == []


def test_a_snippet_is_printed_with_a_key_of_its_own(db: Path, filled: Credentials) -> None:
    """Bound to the list and the origins; what was made is said on standard error, so that the snippet can be piped."""
    make = ("snippet", "--db", str(db), "--list", "94")
    done = command(*make, "--origin", SHOP, "--url", "https://e.example.com", "--data", "dnt=ignore")
    assert done.stdout.startswith(b"<script>window.oct=")
    assert b'data-dnt="ignore"' in done.stdout
    assert done.stderr.decode() == f"the page key, of scope ingest, is bound to list 94 and {SHOP}\n"
    key = as_json(db, "keys", "list")[-1]
    assert (key["scope"], key["origins"], key["list_ids"]) == ("ingest", [SHOP], [94])
    given = command(*make, "--key", filled.ingest)
    assert filled.ingest in given.stdout.decode()
    assert given.stderr == b""
    for wrong, named in (
        (["--list", "97"], "--list 97"),
        (["--list", "94", "--data", "storage"], "--data storage"),
        (["--list", "94", "--data", "storage=disk"], "storage"),
        (["--list", "94", "--url", "x"], "url"),
        (["--list", "94", "--key", "k", "--origin", SHOP], "origins"),
    ):
        assert named in refused(db, "snippet", *wrong)
    assert len(as_json(db, "keys", "list")) == 4


def test_a_person_is_exported_and_erased(db: Path, tmp_path: Path) -> None:
    """By address, id or uuid; not without being asked, and never the wrong one."""
    make_store(db)
    with EventTracking(db) as tracking:
        visitor = tracking.track(94, "test", email="ada@example.com", id="ada", properties={"only": 1}).uuid
        tracking.track(94, "test", email="bob@example.com")
        export = ("export", "--visitor", "--list", "94")
        data = json.loads(run(db, *export, "--email", "ADA@example.com"))
        assert data == json.loads(run(db, *export, "--id", "ada")) == json.loads(run(db, *export, "--uuid", visitor))
        assert [event["event"] for event in data["events"]] == ["identify", "test"]
        assert data["bindings"][0]["email"] == "ada@example.com"
        target = tmp_path / "ada.json"
        assert as_json(db, *export, "--id", "ada", "--output", str(target)) == {"events": 2, "file": str(target)}
        assert json.loads(target.read_text()) == data
        for wrong in (("--visitor", "--email", "a@b.co"), ("--email", "a@b.co"), ("--visitor", "--list", "94"), ()):
            refused(db, "export", *wrong)
        assert "no data" in refused(db, *export, "--email", "eve@example.com")

        erase = ("erase", "--list", "94")
        assert "--yes" in refused(db, *erase, "--email", "ada@example.com")
        assert "Exactly one of" in refused(db, *erase, "--email", "ada@example.com", "--id", "ada", "--yes")
        erased = as_json(db, *erase, "--email", "ada@example.com", "--yes")
        assert (erased["events"], erased["bindings"]) == (2, 1)
        assert "no data" in refused(db, *erase, "--id", "ada", "--yes")
        assert as_json(db, "properties", "--list", "94")["Properties"] == {"identify": ["emailAddress"], "test": []}
    with plain(db) as connection:
        assert connection.execute("select distinct email from events").fetchall() == [("bob@example.com",)]


def test_serve_names_keys_that_work_from_any_page(db: Path, filled: Credentials) -> None:
    """Once, at its start; not those that are bound or revoked."""
    with EventTracking(db) as tracking:
        bound = tracking.directory.create_key("alice", "ingest", origins=[SHOP])
        revoked = tracking.directory.create_key("alice", "ingest")
        tracking.directory.revoke_key(revoked.key_id)
        keys = tracking.directory.keys()
    (unbound,) = (key for key in keys if key.works_anywhere and key.scope == "ingest")
    with serving(db, "asgi", "--workers", "2") as served:
        assert served.log().count("any web page") == 1
        assert unbound.key_id in served.log()
        assert bound.key_id not in served.log()
        assert revoked.key_id not in served.log()
