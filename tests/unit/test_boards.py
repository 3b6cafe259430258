"""Saved views and shares of the dashboard, as `tracking.boards` keeps them."""

from __future__ import annotations

import hashlib
import re
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from falcon_events import Credential, EventsError, EventTracking, NotFound, Principal
from falcon_events.access import passwords
from falcon_events.store.queries import board_rows
from falcon_events.store.queries.saved import find_names
from tests.harness import Credentials, plain, rows
from tests.unit.test_answer_checks import doctor

pytestmark = pytest.mark.database

PAGE = "events?list=94&range=30d&filters=%5B%22a%22%5D#trend"


def names(tracking: EventTracking, list_id: int = 94, board: str | None = None) -> list[tuple[str, str, str]]:
    """The views of a list."""
    return [(view.board, view.name, view.location) for view in tracking.boards.views(list_id, board)]


def test_a_view_is_saved_on_a_board(tracking: EventTracking, credentials: Credentials, db: Path) -> None:
    """For every process and after a restart, in the order in which they were first saved, until it is removed."""
    boards = tracking.boards
    first = boards.save_view(94, "mine", "pages", PAGE)
    boards.save_view(94, "mine", "events", "")
    boards.save_view(94, "another", "pages", "?list=94")
    boards.save_view(95, "mine", "pages", "funnels")
    replaced = boards.save_view(94, "mine", "pages", "./")
    assert (replaced.location, replaced.created_at) == ("./", first.created_at)
    with EventTracking(db) as other:
        expected = [("another", "pages", "?list=94"), ("mine", "pages", "./"), ("mine", "events", "")]
        assert names(tracking) == names(other) == expected
        assert boards.views(94, "mine")[0].created_at == first.created_at
        assert names(tracking, board="mine") == expected[1:]
        assert names(tracking, 96) == names(tracking, board="nobody's") == []
        other.boards.remove_view(94, "mine", "pages")
        for missing in (("mine", "pages"), ("nobody's", "pages")):
            with pytest.raises(NotFound):
                boards.remove_view(94, *missing)
    tracking.close()
    with EventTracking(db) as again:
        assert names(again) == [("another", "pages", "?list=94"), ("mine", "events", "")]
        assert names(again, 95) == [("mine", "pages", "funnels")]


def test_a_location_stays_within_the_dashboard(tracking: EventTracking, credentials: Credentials) -> None:
    """Whatever a browser makes of a URL: another host, another scheme, a folder above. The message says what would be right."""
    boards = tracking.boards
    wrong: list[Any] = [
        *("/", "//evil.example.com", "https://evil.example.com/", "javascript:alert(1)", "\\\\evil.example.com", "a\\b", "a:b"),
        *("..", "../admin", "events/../../admin", "events/%2e%2E/x", ".%2e/x", "%2fadmin", "%5cadmin", "x%3ay"),
        *("a b", "a\nb", "a\0b", "ä", "\ud800", "x" * 8001, None, b"events", 1),
    ]
    for location in wrong:
        for call in (partial(boards.save_view, 94, "b", "n", location), partial(boards.create_share, 94, location)):
            with pytest.raises(EventsError, match=r"^location .* must be the URL of a page, relative to the dashboard"):
                call()
    assert boards.views(94) == boards.shares(94) == []


def test_names_and_lists_are_checked(tracking: EventTracking, credentials: Credentials) -> None:
    """The message names the argument."""
    boards = tracking.boards
    longest = "é" * 200
    boards.save_view(94, longest, longest, "x" * 8000)
    assert names(tracking) == [(longest, longest, "x" * 8000)]
    for wrong in ("", " ", "x" * 201, "\ud800", None, 1):
        with pytest.raises(EventsError, match=r"^board "):
            boards.save_view(94, wrong, "name", "")  # type: ignore[arg-type]
        with pytest.raises(EventsError, match=r"^name "):
            boards.save_view(94, "board", wrong, "")  # type: ignore[arg-type]
    for call in (lambda: boards.save_view(1000, "b", "n", ""), lambda: boards.create_share(1000, "")):
        with pytest.raises(NotFound, match="There is no list 1000"):
            call()
    for list_id in (0, 2**63, True, "94"):
        with pytest.raises(EventsError, match=r"^list_id="):
            boards.views(list_id)  # type: ignore[arg-type]


def test_a_list_has_up_to_200_views_and_shares(tracking: EventTracking, credentials: Credentials) -> None:
    """Those that are there may still be replaced, and others saved once one is gone. Revoked shares do not count."""
    boards = tracking.boards
    for number in range(200):
        boards.save_view(94, f"board {number % 7}", str(number), "")
    with pytest.raises(EventsError, match="List 94 has 200 saved views, which is the limit"):
        boards.save_view(94, "board 0", "more", "")
    boards.save_view(94, "board 0", "0", "pages")
    boards.save_view(95, "board 0", "more", "")
    boards.remove_view(94, "board 0", "0")
    boards.save_view(94, "board 0", "more", "")
    assert len(boards.views(94)) == 200
    created = [boards.create_share(94, "") for _ in range(200)]
    with pytest.raises(EventsError, match="List 94 has 200 shares, which is the limit"):
        boards.create_share(94, "")
    boards.revoke_share(created[0].share_id)
    boards.create_share(94, "")
    assert len(boards.shares(94)) == 201


def test_a_share_is_found_by_its_secret_until_it_is_revoked(tracking: EventTracking, credentials: Credentials, db: Path) -> None:
    """By every process and after a restart. The store has no secret."""
    boards = tracking.boards
    created = boards.create_share(94, PAGE, public=True)
    other = boards.create_share(95, "", embed=True)
    assert created.secret not in repr(created)
    with EventTracking(db) as another:
        for one in (tracking, another):
            found = one.boards.find_share(created.secret)
            assert found is not None
            assert (found.share_id, found.list_id, found.location) == (created.share_id, 94, PAGE)
            assert (found.public, found.embed, found.needs_password, found.revoked_at) == (True, False, False, None)
            for secret in ("", created.share_id, created.secret + "x", "\ud800", credentials.full):
                assert one.boards.find_share(secret) is None
        another.boards.revoke_share(created.share_id)
        for one in (tracking, another):
            assert one.boards.find_share(created.secret) is None
        another.boards.revoke_share(created.share_id)  # a second time changes nothing
    assert [(share.share_id, share.revoked_at is None) for share in boards.shares()] == [
        (created.share_id, False),
        (other.share_id, True),
    ]
    assert [share.share_id for share in boards.shares(95)] == [other.share_id]
    with pytest.raises(NotFound):
        boards.revoke_share(created.secret)
    assert tracking.directory.identify(Credential("api_key", other.secret)) is None
    assert tracking.directory.identify(Credential("session", other.secret)) is None
    tracking.close()
    for path in db.parent.iterdir():
        assert other.secret.encode() not in path.read_bytes()
    with EventTracking(db) as again:
        assert again.boards.find_share(created.secret) is None
        found = again.boards.find_share(other.secret)
        assert found is not None
        assert (found.list_id, found.embed) == (95, True)


def test_a_hash_takes_time() -> None:
    """So that passwords cannot be guessed from a copy of the store."""
    made = passwords.hash_password("word")
    assert re.fullmatch(r"scrypt\$16384\$8\$5\$[0-9a-f]{32}\$[0-9a-f]{64}", made)
    assert passwords.matches_password("word", made)


def test_the_password_of_a_share_is_checked(
    tracking: EventTracking, credentials: Credentials, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However its characters were typed; the store keeps a salted hash, which nothing shows."""
    monkeypatch.setattr(passwords, "N", 1024)
    boards = tracking.boards
    secrets = [boards.create_share(94, "", password="caf\u00e9 1").secret for _ in range(2)]
    first, second = map(boards.find_share, secrets)
    assert first is not None
    assert second is not None
    assert first.needs_password
    assert first.password_hash != second.password_hash
    assert first.password_hash is not None
    assert re.fullmatch(r"scrypt\$1024\$8\$5\$[0-9a-f]{32}\$[0-9a-f]{64}", first.password_hash)
    assert first.password_hash not in repr(first)
    for right in ("caf\u00e9 1", "cafe\u0301 1"):
        assert boards.check_share_password(first, right)
    for wrong in ("", "cafe 1", "caf\u00e9 1 ", "\ud800", "x" * 100_000):
        assert not boards.check_share_password(first, wrong)
    for unfit in ("", "x" * 1001):
        with pytest.raises(EventsError, match="password must be text of 1 to 1000 characters"):
            boards.create_share(94, "", password=unfit)
    free = boards.find_share(boards.create_share(94, "").secret)
    assert free is not None
    assert boards.check_share_password(free, "")


def test_a_hash_of_another_cost_is_understood() -> None:
    """Its parameters are in it, so that they may become others with a later release."""
    salt = bytes(16)
    derived = hashlib.scrypt(b"word", salt=salt, n=1024, r=4, p=2, dklen=32)
    assert passwords.matches_password("word", f"scrypt$1024$4$2${salt.hex()}${derived.hex()}")
    assert not passwords.matches_password("words", f"scrypt$1024$4$2${salt.hex()}${derived.hex()}")


def test_a_deleted_list_loses_its_views_and_shares(tracking: EventTracking, credentials: Credentials) -> None:
    """Another list with its id, of whichever account, does not get them. Those of other lists stay."""
    boards = tracking.boards
    for list_id in (94, 95):
        boards.save_view(list_id, "b", "n", "")
    secret, kept = (boards.create_share(list_id, "").secret for list_id in (94, 95))
    tracking.directory.delete_list(94)
    assert boards.find_share(secret) is None
    tracking.directory.create_list("bob", "new", 94)
    assert boards.find_share(secret) is None
    assert boards.views(94) == boards.shares(94) == []
    assert len(boards.views(95)) == 1
    assert boards.find_share(kept) is not None


def test_a_view_of_a_list_that_is_being_deleted_is_refused(tracking: EventTracking, credentials: Credentials) -> None:
    """Also if this process has not heard of it yet, or the list belongs to another account by now."""
    directory = tracking.directory
    owner = directory.find_owner(94)
    assert owner is not None
    directory.delete_list(94)
    for create in (lambda: None, lambda: directory.create_list("bob", "new", 94)):
        create()
        directory._lists[94] = owner
        for call in (lambda: tracking.boards.save_view(94, "b", "n", ""), lambda: tracking.boards.create_share(94, "")):
            with pytest.raises(NotFound):
                call()
    assert tracking.boards.views(94) == tracking.boards.shares(94) == []


class HostAccess:
    """A host application's accounts and lists."""

    def identify(self, credential: Credential) -> Principal | None:
        """Nobody has a credential."""
        return None

    def owns_list(self, account: str, list_id: int) -> bool:
        """It has every list."""
        return True


def test_a_host_applications_lists_have_boards_and_shares(db: Path) -> None:
    """The store does not know these lists."""
    with EventTracking(db, access=HostAccess()) as tracking:
        tracking.boards.save_view(7, "b", "n", "")
        secret = tracking.boards.create_share(7, "").secret
    with EventTracking(db, access=HostAccess()) as tracking:
        assert names(tracking, 7) == [("b", "n", "")]
        found = tracking.boards.find_share(secret)
        assert found is not None
        assert found.list_id == 7


def test_an_erased_person_is_gone_from_views_and_shares(tracking: EventTracking, credentials: Credentials, db: Path) -> None:
    """However the address is encoded in the URL; those of others, and those of other lists, stay."""
    boards = tracking.boards
    ada, other = "ada+x@example.com", "notada+x@example.com"
    for list_id in (94, 95):
        tracking.track(list_id, "test", email=ada)
        tracking.track(list_id, "test", email=other)
    pages = {
        "encoded": "person?list=94&email=ada%2Bx%40example.com",
        "plain": "person/ada+x@example.com?list=94",
        "json": "events?filters=%5B%5B%22email%22%2C%22is%22%2C%22ADA%2Bx%40example.com%22%5D%5D&range=7d",
        "other": "person?email=notada%2Bx%40example.com",
    }
    for name, location in pages.items():
        boards.save_view(94, "b", name, location)
        boards.create_share(94, location)
        boards.save_view(95, "b", name, location)
    boards.save_view(94, f"of {ada}", f"what {ada} did", "?range=7d")
    tracking.erase(94, email=ada)
    kept = {view.name: view.location for view in boards.views(94)}
    erased = "%28erased%29"
    assert kept == {
        "encoded": f"person?list=94&email={erased}",
        "plain": f"person/{erased}?list=94",
        "json": f"events?filters=%5B%5B%22email%22%2C%22is%22%2C%22{erased}%22%5D%5D&range=7d",
        "other": pages["other"],
        "what (erased) did": "?range=7d",
    }
    assert [view.board for view in boards.views(94)] == ["b"] * 4 + ["of (erased)"]
    assert [share.location for share in boards.shares(94)] == [kept[name] for name in pages]
    assert {view.name: view.location for view in boards.views(95)} == pages
    assert [check for check in tracking.check() if not check.ok] == []


def test_a_name_that_reaches_over_parts_of_a_url_is_erased_with_it() -> None:
    """Some characters of addresses may stand in a URL as they are."""
    find = find_names(["a/b&c@example.com"])
    assert board_rows.erase_in_url(find, "person?email=a/b&c@example.com") == "."
    assert board_rows.erase_in_url(find, "person?email=a%2Fb%26c@example.com&x=1") == "person?email=%28erased%29&x=1"
    assert board_rows.erase_in_url(find, PAGE) == PAGE


def test_copies_have_the_views_and_shares(tracking: EventTracking, credentials: Credentials, db: Path, tmp_path: Path) -> None:
    """A backup, and the store itself once it is compacted; doctor reads their tables."""
    tracking.boards.save_view(94, "b", "n", PAGE)
    secret = tracking.boards.create_share(94, PAGE, password="word").secret
    session = tracking.directory.sign_in(credentials.read)
    tracking.backup(tmp_path / "copy.duckdb")
    tracking.compact()
    checks = {check.name: check.found for check in tracking.check()}
    assert checks["table dashboard_views"] == checks["table dashboard_shares"] == "1 rows read"
    tracking.close()
    for path in (db, tmp_path / "copy.duckdb"):
        with EventTracking(path) as one:
            assert names(one) == [("b", "n", PAGE)]
            share = one.boards.find_share(secret)
            assert share is not None
            assert one.boards.check_share_password(share, "word")
            assert one.properties(94, session_id=session) == {}


def test_doctor_finds_a_view_that_is_there_twice(tracking: EventTracking, credentials: Credentials, db: Path) -> None:
    """Saving it again leaves one."""
    tracking.boards.save_view(94, "b", "n", "")
    tracking.close()
    with plain(db) as connection:
        connection.execute("insert into dashboard_views from dashboard_views")
    code, found = doctor(db)
    assert code == 1
    assert found["view 'n'"]["found"] == "is 2 times on board 'b' of list 94; save it once more, or remove it"
    with EventTracking(db) as again:
        again.boards.save_view(94, "b", "n", "")
        assert [check for check in again.check() if not check.ok] == []
    assert rows(db, "select count(*) from dashboard_views") == [(1,)]
