"""A person: the timeline, who they are, and their data to export or to erase."""

from __future__ import annotations

import json
import re

import pytest

from falcon_events import EventTracking
from falcon_events.access.protocol import Principal, Scope
from tests.server.dashboard.site import Seen, Site
from tests.server.dashboard.test_people import HOSTILE, people_of
from tests.shop import ADA, BOB, SOMEBODY

ADA_MAIL = "ada@example.com"


def timeline(site: Site, **query: str) -> Seen:
    """Visit the part of a person's page that has everything."""
    page = site.get("person", **query)
    assert page.status == 200, page.text
    (part,) = page.parts()
    return site.get(part)


def test_a_timeline_has_days_and_sessions(dashboard: Site) -> None:
    """The newest first, with what was done and its properties."""
    seen = timeline(dashboard, email=ADA_MAIL)
    days = re.findall(r'<h3 class="day">(.*?)</h3>', seen.html)
    assert days == ["Tuesday, 10 March 2026", "Tuesday, 3 March 2026", "Monday, 2 March 2026"]
    events = re.findall(r"<summary><time [^>]*>(.*?)</time> <b><bdi>(.*?)</bdi></b>", seen.html)
    expected = [("09:00:00", "conversion"), ("12:00:00", "conversion"), ("10:05:00", "signup"), ("10:00:00", "pageView")]
    assert events == expected
    assert "Session 10:00\N{EN DASH}10:05 · 2 events" in seen.text
    assert "conversion-value 1100.5" in seen.text
    assert "Email ada@example.com IDs customer-ada" in seen.text
    assert f"UUIDs of browsers {ADA} First seen 2026-03-02 10:00:00 Last seen 2026-03-10 09:00:00 Events 4" in seen.text
    assert "Traits plan pro" in seen.text


@pytest.mark.parametrize("named", [{"email": "ADA@example.com"}, {"id": "customer-ada"}, {"uuid": ADA}])
def test_a_person_is_found_by_each_name(dashboard: Site, named: dict[str, str]) -> None:
    """By address, by the sender's id, and by a visitor."""
    seen = timeline(dashboard, **named)
    assert "Events 4" in seen.text
    (counts,) = seen.parts()
    assert dashboard.get(counts).tables == [[["Event", "Times"], ["conversion", "2"], ["pageView", "1"], ["signup", "1"]]]
    assert "Sessions 3 Views 1 Conversions 2 Revenue 1,150.50" in dashboard.get(counts).text


def test_somebody_without_an_address_has_a_page(dashboard: Site) -> None:
    """The list of people leads there by the visitor."""
    seen = dashboard.get("people.table")
    page = dashboard.get(seen.link(SOMEBODY))
    (part,) = page.parts()
    seen = dashboard.get(part)
    assert "Email (none)" in seen.text
    (counts,) = seen.parts()
    assert dashboard.get(counts).tables[0][1:] == [["pageView", "1"]]


def test_times_are_in_the_zone_of_the_list(site: Site, own: EventTracking) -> None:
    """And so are days: 23:30 in London is the next day in Berlin."""
    own.directory.set_rules(1, time_zone="Europe/Berlin")
    own.track(1, "late", email="late@example.com", timestamp="2026-03-02T23:30:00Z")
    seen = timeline(site, email="late@example.com")
    assert "Tuesday, 3 March 2026" in seen.text
    assert "00:30:00 late" in seen.text


def test_a_timeline_is_narrowed_to_an_event_and_paged(site: Site, own: EventTracking) -> None:
    """A page has 50 events; the next ones are older."""
    for number in range(60):
        own.track(1, "visit", email=ADA_MAIL, uuid=ADA, timestamp=f"2026-03-11T10:{number:02}:00Z", properties={"n": number})
    seen = timeline(site, email=ADA_MAIL, event="visit")
    shown = re.findall(r"<time [^>]*>(.*?)</time>", seen.html)
    assert shown == [f"10:{number:02}:00" for number in range(59, 9, -1)]
    page = site.get(seen.link("Older events"))
    (part,) = page.parts()
    shown = re.findall(r"<time [^>]*>(.*?)</time>", site.get(part).html)
    assert shown == [f"10:{number:02}:00" for number in range(9, -1, -1)]
    assert "No such events of this person." in timeline(site, email=ADA_MAIL, event="logout").text


def test_who_is_unknown_or_not_named_is_said(dashboard: Site) -> None:
    """With what would be right."""
    assert dashboard.get("person").status == 400
    assert "one of email, id and uuid" in dashboard.get("person", email=ADA_MAIL, uuid=ADA).text
    assert timeline(dashboard, email="nobody@example.com").status == 422
    assert timeline(dashboard, uuid="1").status == 422
    assert dashboard.get("person.erase", email="nobody@example.com").status == 404


def test_hostile_properties_do_nothing(site: Site, own: EventTracking) -> None:
    """In the names and values of properties and traits, in event types and ids."""
    for number, text in enumerate(HOSTILE):
        own.track(
            1,
            f"e{text[:100]}".replace("\x00", "0"),
            email="evil@example.com",
            id=text[:50].replace("\x00", "0"),
            properties={text[:150].replace("\x00", "0"): text, "nested": {"a": [text, number]}},
            identify_properties={f"t{text[:100]}".replace("\x00", "0"): text},
        )
    seen = timeline(site, email="evil@example.com")
    assert seen.status == 200
    assert "&lt;script&gt;alert(1)" in seen.html
    pages = [
        seen,
        site.get(seen.parts()[0]),
        site.get("person", email=HOSTILE[4]),
        site.get("person.erase", email="evil@example.com"),
    ]
    for one in pages:
        assert "<script>alert" not in one.html
        assert "<img src=x" not in one.html
        assert "\x00" not in one.html
        assert "\u202e" not in one.html
        assert "x" * 1_100 not in one.html


def test_a_person_is_exported(site: Site, own: EventTracking) -> None:
    """As everything that tracking.personal_data() has, in a file that no cache keeps."""
    seen = site.post("person.export?list=1", {"act": "export", "email": ADA_MAIL})
    assert (seen.status, seen.headers["cache-control"]) == (200, "no-store")
    assert seen.headers["content-disposition"] == 'attachment; filename="personal-data.json"'
    data = json.loads(seen.html)
    assert (data["list_id"], data["visitors"]) == (1, [ADA])
    stored = own.personal_data(1, email=ADA_MAIL)
    assert [one["event_id"] for one in data["events"]] == [one.event_id for one in stored.events]
    assert [one["email"] for one in data["bindings"]] == [ADA_MAIL]
    assert site.post("person.export?list=1", {"email": "nobody@example.com"}).status == 404
    assert site.get("person.export", email=ADA_MAIL).status == 405


def test_a_person_is_erased_everywhere(site: Site, own: EventTracking) -> None:
    """After a page that says what goes; then no page has them, not even from the answers that are kept for seconds."""
    own.save(1, "Hers", people=[["is", "email", [ADA_MAIL]]])
    assert ADA_MAIL in people_of(site, "people?list=1")
    assert timeline(site, email=ADA_MAIL).status == 200
    asked = site.get(site.get("person", email=ADA_MAIL).link("Erase…"))
    assert "Erase ada@example.com ?" in asked.text
    assert f"{len(own.personal_data(1, email=ADA_MAIL).events)} events with everything in them" in asked.text
    assert own.people(1).count == 4
    erased = site.post("person.erase?list=1", {"act": "erase", "email": ADA_MAIL})
    assert (erased.status, "are gone" in erased.text) == (200, True)
    assert own.people(1).count == 3
    assert [one[:3] for one in people_of(site, "people?list=1")] == ["300", "400", "bob"]
    assert timeline(site, email=ADA_MAIL).status == 422
    assert timeline(site, uuid=ADA).status == 422
    for page in ("people", "people.table?csv=1", "people.suggestions?of=value&name=person", "overview.table?by=event&range=all"):
        assert "ada" not in site.get(page).html.replace("data-", "")
    assert site.post("person.erase?list=1", {"act": "erase", "email": ADA_MAIL}).status == 404
    assert site.post("person.export?list=1", {"email": ADA_MAIL}).status == 404
    assert timeline(site, uuid=BOB).status == 200


def test_a_reader_neither_exports_nor_erases(site: Site, own: EventTracking, one_flavour: str) -> None:
    """A key of scope read sees a person, and no more."""
    token = site.form_token()
    reader = Site(own, one_flavour, lambda request: Principal("*", Scope.READ))
    reader.cookies = dict(site.cookies)
    page = reader.get("person", email=ADA_MAIL)
    assert "Erase" not in page.text
    assert timeline(reader, email=ADA_MAIL).status == 200
    assert reader.get("person.erase", email=ADA_MAIL).status == 403
    for address, act in (("person.erase?list=1", "erase"), ("person.export?list=1", "export")):
        seen = reader.post(address, {"act": act, "email": ADA_MAIL, "token": token}, token=False)
        assert (seen.status, "customer-ada" in seen.html) == (403, False)
    assert own.people(1).count == 4


def test_a_form_without_its_token_is_refused(site: Site, own: EventTracking) -> None:
    """Another site's form changes nothing and reads nothing; neither does a link."""
    token = site.form_token()
    for address, act in (("person.erase?list=1", "erase"), ("person.export?list=1", "export")):
        fields = {"act": act, "email": ADA_MAIL}
        assert site.post(address, fields, token=False).status == 403
        assert site.post(address, {**fields, "token": "0" * 64}).status == 403
        foreign = site.post(address, {**fields, "token": token}, headers={"Sec-Fetch-Site": "cross-site"})
        assert (foreign.status, "customer-ada" in foreign.html) == (403, False)
    assert site.get("person.erase", email=ADA_MAIL, act="erase").status == 200
    assert own.people(1).count == 4
    assert site.post("person.erase?list=1", {"email": ADA_MAIL}).status == 400
    assert own.people(1).count == 4


def test_persons_of_other_lists_are_not_touched(own: EventTracking, one_flavour: str) -> None:
    """Whatever list the address or the form names."""
    own.directory.ensure_list(2, "Other")
    own.track(2, "visit", email="eve@example.com")
    one = Site(own, one_flavour, lambda request: Principal("*", Scope.FULL, list_ids=frozenset({1})))
    for page in ("person", "person.timeline", "person.counts", "person.erase"):
        seen = one.get(page, list="2", email="eve@example.com")
        assert seen.status == 404
    for address, act in (("person.erase", "erase"), ("person.export", "export")):
        assert one.post(f"{address}?list=2", {"act": act, "email": "eve@example.com"}).status == 404
        assert one.post(f"{address}?list=1", {"act": act, "email": "eve@example.com", "list": "2"}).status == 404
    assert own.people(2).count == 1


def test_a_shared_browser_is_not_erased_with_one_of_its_people(site: Site, own: EventTracking) -> None:
    """The page says that others use it; what belongs to them stays. Without an address it is not clear who is meant."""
    own.track(1, "visit", email="carl@example.com", uuid=ADA, timestamp="2026-03-20T10:00:00Z")
    unclear = site.get("person.erase", uuid=ADA)
    assert (unclear.status, "is a browser that 2 people share" in unclear.text) == (400, True)
    asked = site.get("person.erase", email="carl@example.com")
    assert "1 of these is also used by other people. What belongs to the others stays." in asked.text
    erased = site.post("person.erase?list=1", {"act": "erase", "email": "carl@example.com"})
    assert "What other people did in the same browsers was kept." in erased.text
    assert timeline(site, email="carl@example.com").status == 422
    assert "Events 4" in timeline(site, email=ADA_MAIL).text
