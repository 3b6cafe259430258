"""The pages with the data: what each form does to the store, who may do it, and what other accounts' people do not see."""

from __future__ import annotations

import csv
import html
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from falcon_events import EventTracking, Plan
from falcon_events.access.protocol import Credential, Principal, Scope
from tests.harness import wait_until
from tests.receiver import receiving
from tests.server.dashboard.site import Seen, Site
from tests.shortcuts import write_store

SECTIONS = ("data", "data.lists", "data.keys", "data.rules", "data.webhooks", "data.plan", "data.store")
PARTS = ("data.arrival", "data.lists.table", "data.plan.drift", "data.store.facts")
HOSTILE = '<script>alert("1")</script>\u202eevil\x00\x1b[2J'
PLAN = {
    "signup": {"type": "object", "required": ["plan"], "properties": {"plan": {"type": "string"}, "seats": {"type": "integer"}}}
}


def open_store(path: Path) -> EventTracking:
    """Open a tracker with a plan."""
    return EventTracking(path, plan=Plan(schemas=PLAN, on_violation="report"))


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A closed store with the lists 1 and 2 of one account, and list 7 of another."""
    path = tmp_path_factory.mktemp("filled") / "events.duckdb"
    with open_store(path) as tracking:
        for list_id, name, account in ((1, "Shop", "acme"), (2, "Blog", "acme"), (7, "Rival's list", "rival")):
            tracking.directory.ensure_list(list_id, name, account)
        tracking.track(1, "signup", email="ada@example.com", timestamp="2026-03-02T10:00:00Z", properties={"plan": "pro"})
        tracking.track(1, "visit", email="ada@example.com", timestamp="2026-03-04T10:00:00Z")
        for _ in range(3):
            tracking.track(7, "rival-event", email="eve@example.com")
    return path


@pytest.fixture
def own(filled: Path, db: Path) -> Iterator[EventTracking]:
    """A tracker of that store, for a test that changes it."""
    write_store(db, filled.read_bytes())
    with open_store(db) as tracking:
        yield tracking


@pytest.fixture(scope="module")
def shared(filled: Path) -> Iterator[EventTracking]:
    """A tracker of that store, for all tests that leave it as it is."""
    with open_store(filled) as tracking:
        yield tracking


def visit(tracking: EventTracking, flavour: str, account: str = "*", scope: Scope = Scope.FULL, *lists: int) -> Site:
    """The dashboard for a principal, limited to some lists if any are given."""
    limits = frozenset(lists) if lists else None
    return Site(tracking, flavour, lambda request: Principal(account, scope, None, limits))


def token_of(seen: Seen) -> str:
    """The token of the page's forms."""
    found = re.search(r'name="token" value="([0-9a-f]{64})"', seen.html)
    assert found is not None, seen.text
    return found[1]


def field_of(seen: Seen, name: str) -> str:
    """What a text area or a field of a form has."""
    found = re.search(rf'<textarea name="{name}"[^>]*>\n?(.*?)</textarea>', seen.html, re.DOTALL) or re.search(
        rf'<input name="{name}"[^>]*? value="([^"]*)"', seen.html
    )
    assert found is not None, seen.html
    return html.unescape(found[1])


def copied(seen: Seen) -> list[str]:
    """What the page offers to copy."""
    return [html.unescape(one).strip() for one in re.findall(r"<pre data-copy[^>]*>(.*?)</pre>", seen.html, re.DOTALL)]


def account_id(tracking: EventTracking, name: str) -> str:
    """The id of an account."""
    return next(one.account_id for one in tracking.directory.accounts() if one.name == name)


def keys_of(tracking: EventTracking, account: str) -> list[Any]:
    """The keys of an account."""
    every = tracking.directory.keys()
    return [key for key in every if key.account == account]


@pytest.mark.parametrize("page", [*SECTIONS, *PARTS])
def test_every_section_is_a_page_of_its_own(shared: EventTracking, flavour: str, page: str) -> None:
    """With an address of its own, for somebody who may change things and for somebody who may only read."""
    for scope in (Scope.FULL, Scope.READ):
        seen = visit(shared, flavour, "*", scope).get(page, list=1)
        assert seen.status == 200, seen.text
        assert seen.headers["cache-control"] == "no-store"
    assert visit(shared, flavour).get(page, list=99).status == 404
    assert visit(shared, flavour, "acme").get(page, list=7).status == 404


def test_sections_name_the_one_that_is_shown(shared: EventTracking, flavour: str) -> None:
    """By a small navigation that every section has, and that keeps the list."""
    seen = visit(shared, flavour).get("data.keys", list=2)
    shown = re.findall(r'<a href="([^"]*)" aria-current="page">', seen.html)
    assert [html.unescape(one) for one in shown] == ["./data?list=2", "./data.keys?list=2"]
    assert seen.link("Rules") == "./data.rules?list=2"


# Install


def test_the_snippet_is_that_of_the_command_line(own: EventTracking, one_flavour: str) -> None:
    """With a page key for the list and the origins that the reader names, which a repeat does not create again."""
    site = visit(own, one_flavour)
    assert keys_of(own, "acme") == []
    form = {
        "act": "snippet",
        "url": "https://events.example.com/t",
        "origins": "https://www.example.com\r\nHTTPS://*.example.org/\r\n",
    }
    for _ in range(2):
        seen = site.post("data?list=2", form)
        assert seen.status == 200
        origins = ["https://*.example.org", "https://www.example.com"]
        assert copied(seen)[0] == own.snippet(2, url="https://events.example.com/t", origins=origins).strip()
        (key,) = keys_of(own, "acme")
        assert (key.scope, key.list_ids, key.origins) == ("ingest", [2], origins)
    assert 'Client("https://events.example.com/t", "KEY")' in seen.text


def test_looking_at_the_page_creates_no_key(shared: EventTracking, flavour: str) -> None:
    """Its address is a proposal: where the browser has found this page."""
    seen = visit(shared, flavour).get("data", list=1)
    assert shared.directory.keys() == []
    proposed = field_of(seen, "url")
    assert proposed.startswith("http")
    assert "/dashboard" not in proposed
    assert (
        Site(shared, flavour, lambda request: Principal("*"), "/tracking")
        .get("data", list=1)
        .text.count("/tracking/api/v1/event")
    )


def test_a_wrong_address_is_explained_and_kept(shared: EventTracking, flavour: str) -> None:
    """Beside the form; nothing is created."""
    seen = visit(shared, flavour).post("data?list=1", {"act": "snippet", "url": "events.example.com", "origins": "example.com"})
    assert seen.status == 422
    assert "expected an address with scheme and host" in seen.text
    assert (field_of(seen, "url"), field_of(seen, "origins")) == ("events.example.com", "example.com")
    seen = visit(shared, flavour).post("data?list=1", {"act": "snippet", "url": "", "origins": "example.com"})
    assert "must be scheme and host, such as https://www.example.com" in seen.text
    assert shared.directory.keys() == []


def test_the_page_says_whether_events_arrive(own: EventTracking, one_flavour: str) -> None:
    """It waits for the first event, and names the first and the last one once there are some."""
    site = visit(own, one_flavour)
    (part,) = site.get("data", list=2).parts()
    assert "Waiting for the first event" in site.get(part, part=1).text
    tracked = own.track(2, "first <b>", email="ada@example.com", timestamp="2026-03-02T10:00:00Z")
    seen = site.get(part, part=1)
    assert "Received. The last event, first <b> , came at" in seen.text
    assert "the first one happened at 2026-03-02 10:00:00" in seen.text
    assert tracked.event_id
    (part,) = site.get("data", list=2).parts()
    assert "first one happened at 2026-03-02 10:00:00" in site.get(part, part=1).text
    assert site.get("data.arrival", list=2, first="<script>").status == 200


def test_somebody_who_reads_gets_the_command(shared: EventTracking, flavour: str) -> None:
    """They cannot create the page key, so the page has no form for it."""
    site = visit(shared, flavour, "acme", Scope.READ)
    seen = site.get("data", list=1)
    assert copied(seen)[0].startswith("falcon-events snippet --list 1 --url http")
    assert 'value="snippet"' not in seen.html
    token = token_of(site.get("data.rules", list=1))
    refused = site.post("data?list=1", {"act": "snippet", "url": "", "origins": "", "token": token}, token=False)
    assert refused.status == 403
    assert shared.directory.keys() == []


# Lists


def test_lists_are_those_of_the_account_with_their_events(shared: EventTracking, flavour: str) -> None:
    """The two events and the identify event of list 1, none of list 2; the other account's list is not there."""
    site = visit(shared, flavour, account_id(shared, "acme"))
    (table,) = site.get("data.lists.table").tables
    assert [row[:4] for row in table[1:]] == [["Shop shown now", "1", "acme", "3"], ["Blog", "2", "acme", "0"]]
    assert table[1][4:6] == ["2026-03-02 10:00:00", "2026-03-04 10:00:00"]
    rows = list(csv.reader(io.StringIO(site.get("data.lists.table", csv=1).html)))
    assert [row[0] for row in rows] == ["list", "1", "2"]
    assert "Rival" not in site.get("data.lists").html


def test_a_list_is_created_renamed_and_deleted(own: EventTracking, one_flavour: str) -> None:
    """Each by a form; deleting needs the list's name."""
    site = visit(own, one_flavour, "acme")
    seen = site.post("data.lists?list=1", {"act": "create", "name": "Forum"})
    assert (seen.status, seen.headers["location"]) == (303, "./data?list=8&done=list-created")
    assert "The list is there." in site.get(seen.headers["location"]).text
    made = next(one for one in own.directory.lists() if one.list_id == 8)
    assert (made.name, made.account) == ("Forum", "acme")
    seen = site.post("data.lists?list=8", {"act": "rename", "new_name": "Board"})
    assert seen.headers["location"] == "./data.lists?list=8&done=list-renamed"
    assert next(one.name for one in own.directory.lists() if one.list_id == 8) == "Board"
    seen = site.post("data.lists?list=8", {"act": "delete", "confirmation": "Forum"})
    assert seen.status == 422
    assert "type the name of the list" in seen.text
    assert field_of(seen, "confirmation") == "Forum"
    seen = site.post("data.lists?list=8", {"act": "delete", "confirmation": " Board "})
    assert seen.headers["location"] == "./data.lists?done=list-deleted"
    assert "deleted, with all its events" in site.get(seen.headers["location"]).text
    assert [one.list_id for one in own.directory.lists()] == [1, 2, 7]


def test_a_wrong_name_is_explained_and_kept(shared: EventTracking, flavour: str) -> None:
    """By the package's own message."""
    site = visit(shared, flavour)
    seen = site.post("data.lists?list=1", {"act": "create", "name": "x" * 201})
    assert seen.status == 422
    assert "must be text of 1 to 200 characters" in seen.text
    assert field_of(seen, "name") == "x" * 201
    assert "is none of this page's forms" in site.post("data.lists?list=1", {"act": "explode"}).text
    assert [one.list_id for one in shared.directory.lists()] == [1, 2, 7]


def test_the_first_list_is_created_in_the_browser(tmp_path: Path, one_flavour: str) -> None:
    """In a store that has neither account nor list."""
    with EventTracking(tmp_path / "new.duckdb") as tracking:
        site = visit(tracking, one_flavour)
        assert site.get(site.get("").link("create it here")).status == 200
        token = token_of(site.get("data.lists"))
        seen = site.post("data.lists", {"act": "create", "name": "My website", "token": token}, token=False)
        assert seen.headers["location"] == "./data?list=1&done=list-created"
        assert [(one.name, one.account) for one in tracking.directory.lists()] == [("My website", "default")]


def test_lists_of_others_stay_as_they_are(shared: EventTracking, flavour: str) -> None:
    """Neither another account's person, nor somebody limited to a list, nor a reader may change them."""
    site = visit(shared, flavour, "acme")
    for fields in ({"act": "delete", "confirmation": "Rival's list"}, {"act": "rename", "new_name": "Mine"}):
        assert site.post("data.lists?list=7", fields).status == 404
    rival = account_id(shared, "rival")
    assert site.post("data.lists?list=1", {"act": "create", "name": "Spy", "account": rival}).status == 422
    limited = visit(shared, flavour, "acme", Scope.FULL, 1)
    for fields in ({"act": "create", "name": "More"}, {"act": "delete", "confirmation": "Shop"}):
        seen = limited.post("data.lists?list=1", fields)
        assert seen.status == 422
        assert "limited to some" in seen.text
    assert limited.post("data.lists?list=2", {"act": "rename", "new_name": "Mine"}).status == 404
    reader = visit(shared, flavour, "acme", Scope.READ)
    token = token_of(reader.get("data.rules", list=1))
    assert reader.post("data.lists?list=1", {"act": "rename", "new_name": "Mine", "token": token}, token=False).status == 403
    assert [(one.list_id, one.name) for one in shared.directory.lists()] == [(1, "Shop"), (2, "Blog"), (7, "Rival's list")]


# Keys


def test_a_key_is_shown_once(own: EventTracking, one_flavour: str) -> None:
    """On the page that answers the form, which no cache keeps; later only its id is known."""
    site = visit(own, one_flavour, "acme")
    form = {"act": "create", "scope": "ingest", "lists": ["1", "2"], "origins": "https://www.example.com"}
    seen = site.post("data.keys?list=1", form)
    assert (seen.status, seen.headers["cache-control"]) == (200, "no-store")
    secret = copied(seen)[0]
    assert own.directory.identify(Credential("api_key", secret)) == Principal(
        account_id(own, "acme"), Scope.INGEST, ("https://www.example.com",), frozenset({1, 2})
    )
    (key,) = own.directory.keys()
    later = site.get("data.keys", list=1)
    assert secret not in later.html
    assert later.tables[0][1][:4] == [key.key_id, "ingest", "https://www.example.com", "1, 2"]
    rows = list(csv.reader(io.StringIO(site.get("data.keys", list=1, csv=1).html)))
    assert rows[1][:5] == [key.key_id, "acme", "ingest", "https://www.example.com", "1 2"]


def test_a_key_is_revoked(own: EventTracking, one_flavour: str) -> None:
    """At once, by its id only."""
    site = visit(own, one_flavour, "acme")
    made = own.directory.create_key("acme", "read")
    assert site.post("data.keys?list=1", {"act": "revoke", "key": made.key}).status == 422
    seen = site.post("data.keys?list=1", {"act": "revoke", "key": made.key_id})
    assert seen.headers["location"] == "./data.keys?list=1&done=key-revoked"
    assert own.directory.identify(Credential("api_key", made.key)) is None
    assert "The key is revoked." in site.get(seen.headers["location"]).text


def test_what_a_key_cannot_be_is_explained(shared: EventTracking, flavour: str) -> None:
    """With what was typed."""
    site = visit(shared, flavour, "acme")
    seen = site.post("data.keys?list=1", {"act": "create", "scope": "read", "lists": "2", "origins": "https://a.example"})
    assert seen.status == 422
    assert "only a key of scope ingest can be bound to origins" in seen.text
    assert field_of(seen, "origins") == "https://a.example"
    assert re.findall(r'name="scope" value="(\w+)" checked', seen.html) == ["read"]
    assert re.findall(r'name="lists" value="(\d+)" checked', seen.html) == ["2"]
    assert site.post("data.keys?list=1", {"act": "create", "scope": "root"}).status == 422
    assert shared.directory.keys() == []


def test_keys_of_others_are_neither_seen_nor_revoked(own: EventTracking, one_flavour: str) -> None:
    """Those of another account, and for somebody limited to a list those that open more than it."""
    keys = {
        "rival": own.directory.create_key("rival", "full").key_id,
        "whole": own.directory.create_key("acme", "full").key_id,
        "both": own.directory.create_key("acme", "read", list_ids=[1, 2]).key_id,
        "blog": own.directory.create_key("acme", "ingest", list_ids=[2]).key_id,
        "shop": own.directory.create_key("acme", "ingest", list_ids=[1]).key_id,
    }
    visible = {
        visit(own, one_flavour): set(keys),
        visit(own, one_flavour, "acme"): {"whole", "both", "blog", "shop"},
        visit(own, one_flavour, account_id(own, "acme"), Scope.READ): {"whole", "both", "blog", "shop"},
        visit(own, one_flavour, "acme", Scope.FULL, 1): {"shop"},
        visit(own, one_flavour, "*", Scope.FULL, 1, 2): {"both", "blog", "shop"},
    }
    for site, names in visible.items():
        for address in ("data.keys?list=1", "data.keys?list=1&csv=1"):
            seen = site.get(address).html
            assert {name for name, key_id in keys.items() if key_id in seen} == names
    for name in ("rival", "whole", "both", "blog"):
        site = visit(own, one_flavour, "acme", Scope.FULL, 1)
        assert site.post("data.keys?list=1", {"act": "revoke", "key": keys[name]}).status == 422
    reader = visit(own, one_flavour, "acme", Scope.READ)
    token = token_of(reader.get("data.rules", list=1))
    assert reader.post("data.keys?list=1", {"act": "revoke", "key": keys["shop"], "token": token}, token=False).status == 403
    left = own.directory.keys()
    assert [key.revoked_at for key in left] == [None] * len(keys)


def test_a_key_gives_no_more_than_its_maker_has(own: EventTracking, one_flavour: str) -> None:
    """Somebody limited to a list cannot create a key for all lists, another list, or another account."""
    site = visit(own, one_flavour, "acme", Scope.FULL, 1)
    seen = site.post("data.keys?list=1", {"act": "create", "scope": "full"})
    assert seen.status == 422
    assert "You are limited to some lists" in seen.text
    for wanted in (["2"], ["1", "2"], ["7"], ["x"], ["1", ""]):
        assert site.post("data.keys?list=1", {"act": "create", "scope": "full", "lists": wanted}).status == 422
    assert (
        visit(own, one_flavour, "acme").post("data.keys?list=1", {"act": "create", "scope": "full", "lists": "7"}).status == 422
    )
    assert own.directory.keys() == []
    assert site.post("data.keys?list=1", {"act": "create", "scope": "full", "lists": "1"}).status == 200
    (key,) = own.directory.keys()
    assert (key.scope, key.list_ids) == ("full", [1])


# Rules


def test_rules_are_shown_and_set(own: EventTracking, one_flavour: str) -> None:
    """Names that a line cannot hold are written as JSON, and saving what is shown changes nothing."""
    odd = ["plain", " spaces ", "two\nlines", '"quoted"', "null\x00", "rtl\u202e", "ünïcode"]
    own.directory.set_rules(
        1, bots="keep", denied=odd, redacted=["phone"], time_zone="Asia/Tokyo", indexed=["plan"], keep_days=9000
    )
    before = own.directory.rules_of(1)
    site = visit(own, one_flavour)
    names = ("denied", "redacted", "indexed", "time_zone", "keep_days")
    seen = site.get("data.rules", list=1)
    form = {name: field_of(seen, name).replace("\n", "\r\n") for name in names}
    saved = site.post("data.rules?list=1", {"act": "rules", "bots": "keep", **form})
    assert saved.headers["location"] == "./data.rules?list=1&done=rules-set"
    assert own.directory.rules_of(1) == before
    form = {"bots": "drop", "denied": "a\r\n\r\nb", "redacted": "c", "indexed": "", "time_zone": "Europe/Berlin", "keep_days": ""}
    assert site.post("data.rules?list=1", {"act": "rules", **form}).status == 303
    rules = own.directory.rules_of(1)
    assert (rules.bots, rules.denied, rules.redacted, rules.indexed) == ("drop", ["a", "b"], ["c"], [])
    assert (rules.time_zone, rules.keep_days) == ("Europe/Berlin", None)


def test_a_rule_that_deletes_events_asks_first(own: EventTracking, one_flavour: str) -> None:
    """It says how many, and deletes them only once the reader agrees to just this number of days."""
    own.track(2, "new", email="ada@example.com")
    own.track(2, "old", email="ada@example.com", timestamp="2020-01-01T00:00:00Z")
    site = visit(own, one_flavour)
    form = {"act": "rules", "bots": "tag", "denied": "", "redacted": "", "indexed": "x", "time_zone": "UTC", "keep_days": "30"}
    seen = site.post("data.rules?list=2", form)
    assert seen.status == 200
    assert "This deletes 1 event , of before" in seen.text
    assert field_of(seen, "indexed") == "x"
    assert site.post("data.rules?list=2", {**form, "confirmed": "60"}).status == 200
    assert own.directory.rules_of(2).keep_days is None
    assert site.post("data.rules?list=2", {**form, "confirmed": "30"}).status == 303
    assert own.directory.rules_of(2).keep_days == 30
    own.prune(2)
    assert {one.event: one.deleted for one in own.stats().by_type if one.list_id == 2}["old"] == 1
    assert site.post("data.rules?list=2", {**form, "keep_days": "60"}).status == 303
    assert site.post("data.rules?list=2", {**form, "keep_days": "25"}).status == 303  # deletes nothing
    assert own.directory.rules_of(2).keep_days == 25


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"time_zone": "Mars/Olympus"}, "must be the IANA name of a time zone"),
        ({"keep_days": "0"}, "must be a whole number from 1 to 36500"),
        ({"keep_days": "ten"}, "must be a whole number from 1 to 36500, or empty"),
        ({"bots": "eat"}, "must be drop, tag or keep"),
        ({"denied": "emailAddress"}, "emailAddress is not allowed"),
        ({"redacted": '"open'}, "must be written as JSON"),
        ({"indexed": "\n".join(map(str, range(21)))}, "indexed must be at most 20 names"),
    ],
)
def test_a_wrong_rule_is_explained_and_kept(shared: EventTracking, flavour: str, changed: dict[str, str], reason: str) -> None:
    """Beside the form, with everything that was typed."""
    form = {"bots": "drop", "denied": "", "redacted": "", "indexed": "", "time_zone": "Europe/Paris", "keep_days": "", **changed}
    seen = visit(shared, flavour).post("data.rules?list=1", {"act": "rules", **form})
    assert seen.status == 422
    assert reason in seen.text
    for name in ("denied", "redacted", "indexed", "time_zone", "keep_days"):
        assert field_of(seen, name) == form[name]
    assert shared.directory.rules() == []


def test_rules_of_others_stay(shared: EventTracking, flavour: str) -> None:
    """A reader may not set them, and nobody those of a list that is not theirs."""
    form = {"act": "rules", "bots": "drop", "denied": "", "redacted": "", "indexed": "", "time_zone": "UTC", "keep_days": "1"}
    reader = visit(shared, flavour, "acme", Scope.READ)
    token = token_of(reader.get("data.rules", list=1))
    assert reader.post("data.rules?list=1", {**form, "token": token}, token=False).status == 403
    assert visit(shared, flavour, "acme").post("data.rules?list=7", form).status == 404
    assert visit(shared, flavour, "acme", Scope.FULL, 1).post("data.rules?list=2", form).status == 404
    assert visit(shared, flavour).post("data.rules?list=1", form, token=False).status == 403
    assert shared.directory.rules() == []


# Webhooks


def test_a_webhook_is_created_and_removed(own: EventTracking, one_flavour: str) -> None:
    """Its secret is shown once, and events then arrive there."""
    with receiving() as receiver:
        site = visit(own, one_flavour)
        seen = site.post("data.webhooks?list=1", {"act": "create", "url": receiver.url, "events": "signup\r\n", "lists": "this"})
        assert (seen.status, seen.headers["cache-control"]) == (200, "no-store")
        secret = copied(seen)[0]
        assert own.deliver(receiver.url, lists=[1], events=["signup"]).secret == secret
        (state,) = own.webhooks.states()
        assert (state.list_ids, state.events, state.unread) == ([1], ["signup"], 0)
        tracked = own.track(1, "signup", email="bob@example.com", properties={"plan": "free"})
        receiver.wait_for(1)
        assert receiver.posts[0].id == tracked.event_id
        assert secret not in site.get("data.webhooks", list=1).html
        again = site.post("data.webhooks?list=1", {"act": "create", "url": receiver.url, "lists": "all"})
        assert again.status == 422
        assert "there is a webhook of this URL already" in again.text
        gone = site.post("data.webhooks?list=1", {"act": "remove", "webhook": state.webhook_id})
        assert gone.headers["location"] == "./data.webhooks?list=1&done=webhook-removed"
        assert own.webhooks.states() == []


def test_failed_deliveries_are_shown_and_tried_again(own: EventTracking, one_flavour: str) -> None:
    """With what the receiver answered; one by one, or all."""
    answer = 400
    with receiving(lambda post: answer) as receiver:
        own.deliver(receiver.url, lists=[2])
        tracked = own.track(2, "order", email="ada@example.com")
        wait_until(own.deliveries, "the refused event is tried again later")
        found = own.deliveries()
        site = visit(own, one_flavour)
        seen = site.get("data.webhooks", list=2)
        assert found[0].event_id[:8] in seen.text
        assert "400" in seen.text
        rows = list(csv.reader(io.StringIO(site.get("data.webhooks", list=2, csv=1).html)))
        assert {row[0] for row in rows[1:]} == {one.event_id for one in own.deliveries()}
        (state,) = own.webhooks.states()
        wrong = site.post("data.webhooks?list=2", {"act": "retry", "webhook": state.webhook_id, "event": "nonsense"})
        assert wrong.status == 422
        assert "the UUID of an event is needed" in wrong.text
        answer = 204
        again = site.post("data.webhooks?list=2", {"act": "retry", "webhook": state.webhook_id})
        assert again.headers["location"] == "./data.webhooks?list=2&done=retried"
        wait_until(lambda: tracked.event_id in {post.id for post in receiver.posts if post.status == 204}, "the event arrives")


def test_webhooks_of_others_are_neither_seen_nor_changed(own: EventTracking, one_flavour: str) -> None:
    """Those of the whole store, of another account's lists, and of lists that somebody limited does not see."""
    urls = {"all": None, "both": [1, 2], "shop": [1], "blog": [2], "rival": [7], "mixed": [1, 7]}
    made = {name: own.deliver(f"http://127.0.0.1:9/{name}-path", lists=lists).webhook_id for name, lists in urls.items()}
    visible = {
        ("*", 1): {"all", "both", "shop", "mixed"},
        ("*", 7): {"all", "rival", "mixed"},
        ("acme", 1): {"both", "shop"},
        ("acme", 2): {"both", "blog"},
    }
    for (account, list_id), names in visible.items():
        seen = visit(own, one_flavour, account).get("data.webhooks", list=list_id).html
        assert {name for name in urls if f"{name}-path" in seen} == names
    limited = visit(own, one_flavour, "acme", Scope.FULL, 1)
    seen = limited.get("data.webhooks", list=1)
    assert {name for name in urls if f"{name}-path" in seen.html} == {"shop"}
    assert "Not read yet" not in seen.text
    for name in ("all", "both", "blog", "rival", "mixed"):
        for act in ("remove", "retry"):
            assert limited.post("data.webhooks?list=1", {"act": act, "webhook": made[name]}).status == 422
    refused = visit(own, one_flavour, "acme").post("data.webhooks?list=1", {"act": "create", "url": "http://127.0.0.1:9/x"})
    assert refused.status == 422
    assert "they belong to the store" in refused.text
    reader = visit(own, one_flavour, "acme", Scope.READ)
    seen = reader.get("data.webhooks", list=1)
    assert "-path" not in seen.html
    assert "http://127.0.0.1:9/…" in seen.text
    token = token_of(reader.get("data.rules", list=1))
    assert (
        reader.post("data.webhooks?list=1", {"act": "remove", "webhook": made["shop"], "token": token}, token=False).status == 403
    )
    assert len(own.webhooks.states()) == len(urls)


def test_the_key_of_the_only_account_sees_the_whole_store(tmp_path: Path, one_flavour: str) -> None:
    """As on a server of one's own: it may create webhooks, and sees the size of the file, unless it is limited to lists."""
    with EventTracking(tmp_path / "events.duckdb") as tracking:
        tracking.directory.ensure_list(1, "Shop")
        account = account_id(tracking, "default")
        whole, limited = visit(tracking, one_flavour, account), visit(tracking, one_flavour, account, Scope.FULL, 1)
        assert "Size of the file" in whole.get("data.store.facts").text
        assert "Size of the file" not in limited.get("data.store.facts").text
        form = {"act": "create", "url": "http://127.0.0.1:9/x", "lists": "all", "since": "start"}
        assert limited.post("data.webhooks", form).status == 422
        assert whole.post("data.webhooks", {**form, "url": "ftp://x"}).status == 422
        assert whole.post("data.webhooks", form).status == 200
        assert [one.list_ids for one in tracking.webhooks.states()] == [None]


# Plan and store


def test_the_plan_and_its_differences_are_shown(own: EventTracking, one_flavour: str) -> None:
    """Its events with their properties, and how the list's events differ from it."""
    site = visit(own, one_flavour)
    own.track(1, "signup", email="ada@example.com", properties={"plan": 7})
    seen = site.get("data.plan", list=1)
    assert seen.tables[0][1] == ["signup", "plan string, required; seats integer"]
    assert "An event that violates the plan is stored, counted and logged" in seen.text
    (table,) = site.get(seen.parts()[0]).tables
    assert [row[:3] for row in table[1:]] == [
        ["signup", "plan", "changed type"],
        ["signup", "seats", "unseen property"],
        ["visit", "\u2013", "unknown event"],
    ]
    rows = list(csv.reader(io.StringIO(site.get("data.plan.drift", list=1, csv=1).html)))
    assert rows[0] == ["event", "property", "difference", "found"]
    assert "rival-event" not in site.get("data.plan.drift", list=1).html
    assert "violated it" not in visit(own, one_flavour, "acme").get("data.plan", list=1).text


def test_no_plan_says_how_to_get_one(dashboard: Site) -> None:
    """With the command and the argument."""
    seen = dashboard.get("data.plan")
    assert "No plan" in seen.text
    assert copied(seen) == ["falcon-events serve --plan plan"]
    assert "No difference" in dashboard.get("data.plan.drift").text


def test_the_store_is_described_to_whoever_sees_all_of_it(shared: EventTracking, flavour: str) -> None:
    """The others see their own list's counts, and neither the file nor how much is in it."""
    stats = shared.stats()
    seen = visit(shared, flavour).get("data.store.facts", list=1)
    assert "It accepts events." in seen.text
    assert f"Events of all lists {stats.events} " in seen.text
    assert str(shared.store.path) in seen.text
    assert f"DuckDB {stats.database_version}" in seen.text
    for account, lists in (("acme", ()), ("acme", (1,)), ("*", (1,))):
        seen = visit(shared, flavour, account, Scope.FULL, *lists).get("data.store.facts", list=1)
        assert "Events 3 Oldest 2026-03-02 10:00:00" in seen.text
        for secret in ("Events of all lists", str(shared.store.path), "rival", "Size of", "Held by"):
            assert secret not in seen.html
    rows = list(csv.reader(io.StringIO(seen.html and visit(shared, flavour, "acme").get("data.store.facts", list=1, csv=1).html)))
    assert [row[:2] for row in rows[1:]] == [["identify", "1"], ["signup", "1"], ["visit", "1"]]
    assert "falcon-events doctor" in copied(visit(shared, flavour).get("data.store"))


# Everything


def test_hostile_names_are_text(own: EventTracking, one_flavour: str) -> None:
    """Of lists, event types, properties and errors: nothing of them becomes markup or turns the direction of writing."""
    own.directory.rename_list(2, HOSTILE)
    own.track(2, HOSTILE, email="ada@example.com", properties={HOSTILE: HOSTILE})
    own.track(2, "x" * 200, email="ada@example.com", properties={"y" * 200: "z" * 10_000})
    own.directory.set_rules(2, denied=[HOSTILE], redacted=[HOSTILE + "2"], indexed=[HOSTILE])
    own.deliver("http://127.0.0.1:9/?a=<script>", lists=[2], events=[HOSTILE])
    site = visit(own, one_flavour)
    for page in (*SECTIONS, *PARTS):
        seen = site.get(page, list=2, done=HOSTILE)
        assert seen.status == 200, page
        for raw in ("<script>alert", "\x00", "\x1b", "evil\x00"):
            assert raw not in seen.html
    typed = {"data.lists": ("rename", "new_name"), "data.keys": ("create", "origins"), "data.webhooks": ("create", "url")}
    for page, (act, name) in typed.items():
        seen = site.post(f"{page}?list=2", {"act": act, name: HOSTILE * 20, "scope": HOSTILE})
        assert (seen.status, "<script>alert" in seen.html) == (422, False)
    name = next(one.name for one in own.directory.lists() if one.list_id == 2)
    assert name == HOSTILE
    shown = re.findall(r"type its name: <b><bdi[^>]*>(.*?)</bdi>", site.get("data.lists", list=2).html)
    assert site.post("data.lists?list=2", {"act": "delete", "confirmation": html.unescape(shown[0])}).status == 303


def test_a_form_of_another_site_changes_nothing(shared: EventTracking, flavour: str) -> None:
    """Each form needs its token."""
    site = visit(shared, flavour)
    site.get("data")
    for page, act in (("data", "snippet"), ("data.lists", "create"), ("data.keys", "create"), ("data.webhooks", "create")):
        assert site.post(f"{page}?list=1", {"act": act, "name": "x", "scope": "full"}, token=False).status == 403
    assert len(shared.directory.lists()) == 3
    assert shared.directory.keys() == []


class HostAccounts:
    """Accounts of a host application, which owns list 1."""

    def identify(self, credential: Credential) -> Principal | None:
        """Know one key."""
        return Principal("tenant", Scope.INGEST) if credential.secret == "host-key" else None

    def owns_list(self, account: str, list_id: int) -> bool:
        """Own one list."""
        return account == "tenant" and list_id == 1

    def page_key(self, list_id: int) -> str:
        """Return the key."""
        return "host-key"


def test_accounts_of_the_host_are_left_to_the_host(tmp_path: Path, one_flavour: str) -> None:
    """Its keys and lists are its own: the page has no forms for them, refuses such, and takes its page key for the snippet."""
    with EventTracking(tmp_path / "events.duckdb", access=HostAccounts()) as tracking:
        tracking.track(1, "visit", email="ada@example.com")
        site = visit(tracking, one_flavour, "tenant")
        for page in (*SECTIONS, *PARTS):
            assert site.get(page, list=1).status == 200, page
        token = token_of(site.get("data", list=1))
        seen = site.post("data?list=1", {"act": "snippet", "url": "/tracking", "token": token}, token=False)
        assert 'data-key="host-key"' in copied(seen)[0]
        assert site.post("data.keys?list=1", {"act": "create", "scope": "full", "token": token}, token=False).status == 422
        for fields in (
            {"act": "create", "name": "x"},
            {"act": "rename", "new_name": "x"},
            {"act": "delete", "confirmation": "x"},
        ):
            assert site.post("data.lists?list=1", {**fields, "token": token}, token=False).status == 422
        assert (
            site.post(
                "data.webhooks?list=1", {"act": "create", "url": "http://127.0.0.1:9/x", "token": token}, token=False
            ).status
            == 422
        )
        form = {"act": "rules", "bots": "drop", "denied": "", "redacted": "", "indexed": "", "time_zone": "UTC", "keep_days": ""}
        assert site.post("data.rules?list=1", {**form, "token": token}, token=False).status == 303
        assert tracking.directory.rules_of(1).bots == "drop"
        assert tracking.directory.keys() == []
        assert tracking.webhooks.states() == []
