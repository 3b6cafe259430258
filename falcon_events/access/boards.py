"""Boards: the saved views of the dashboard, and shares, which show one of its pages to people without a key."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Callable
from datetime import UTC, datetime
from urllib.parse import unquote

from falcon_events.access.directory import MAX_LIST_ID, Directory, DirectoryStore
from falcon_events.access.keys import hash_secret
from falcon_events.access.passwords import hash_password, matches_password
from falcon_events.access.validation import MAX_NAME, explain_missing_list
from falcon_events.errors import EventsError, NotFound
from falcon_events.model import operations
from falcon_events.model.boards import DashboardView, NewShare, Share
from falcon_events.model.operations import Operation, P, R

MAX_LOCATION = 8000
_visible = re.compile(r"[!-~]*").fullmatch


class Boards:
    """The saved views and the shares of a store, as `tracking.boards`.

    The calls wait for the result. From a coroutine, make them in a thread. Whoever makes them is trusted: ask first whether the
    user may use the list.

    Args:
        store: the store.
        directory: the accounts and lists of the store.
        own_lists: whether the store has the lists; else the host application has them.
        clock: returns the current time in seconds since 1970.
    """

    def __init__(
        self, store: DirectoryStore, directory: Directory, *, own_lists: bool, clock: Callable[[], float] = time.time
    ) -> None:
        self._store = store
        self._directory = directory
        self._own_lists = own_lists
        self._clock = clock

    def views(self, list_id: int, board: str | None = None) -> list[DashboardView]:
        """Return the saved views of a list by board, each board's in the order in which they were first saved.

        Args:
            list_id: the list.
            board: the name of a board; None: all boards.
        """
        found = self._ask(operations.VIEWS, _check_id(list_id))
        return [view for view in found if board is None or view.board == board]

    def save_view(self, list_id: int, board: str, name: str, location: str) -> DashboardView:
        """Save a page of the dashboard on a board, in the place of the view that has its name there.

        Args:
            list_id: the list. It may have up to 200 views.
            board: the name of the board, of 1 to 200 characters. A board exists while it has a view.
            name: the name of the view, of 1 to 200 characters.
            location: the URL of the page, relative to the dashboard, such as `events?list=1`: at most 8,000 characters.

        Raises:
            NotFound: there is no such list.
            EventsError: an argument is not as described, or the list has 200 other views.
        """
        owner = self._find_owner(list_id)
        texts = _check_name("board", board), _check_name("name", name), _check_location(location)
        view = DashboardView(list_id, *texts, self._now())
        return self._ask(operations.SAVE_VIEW, owner, view)

    def remove_view(self, list_id: int, board: str, name: str) -> None:
        """Remove a view from a board. Raises NotFound if there is no such view."""
        self._ask(operations.REMOVE_VIEW, _check_id(list_id), _check_name("board", board), _check_name("name", name))

    def create_share(
        self, list_id: int, location: str, *, password: str | None = None, public: bool = False, embed: bool = False
    ) -> NewShare:
        """Create a share, by whose secret people without a key may see a page of the dashboard.

        `public` and `embed` are for the dashboard; the store only keeps them.

        Args:
            list_id: the list. It may have up to 200 shares that are not revoked.
            location: the URL of the page, relative to the dashboard, as with save_view().
            password: what people must know besides the secret, of 1 to 1,000 characters; None: nothing.
            public: whether the page is meant for everybody.
            embed: whether other sites may show the page within theirs.

        Raises:
            NotFound: there is no such list.
            EventsError: an argument is not as described, or the list has 200 other shares.
        """
        owner = self._find_owner(list_id)
        location = _check_location(location)
        password_hash = None if password is None else hash_password(password)
        created = NewShare(f"share_{secrets.token_hex(6)}", f"fe_share_{secrets.token_urlsafe(32)}")
        share = Share(created.share_id, list_id, location, password_hash, bool(public), bool(embed), self._now())
        self._ask(operations.ADD_SHARE, owner, hash_secret(created.secret), share)
        return created

    def find_share(self, secret: str) -> Share | None:
        """Return the share that has this secret, or None if there is none, or it is revoked."""
        return self._ask(operations.FIND_SHARE, hash_secret(secret))

    def check_share_password(self, share: Share, password: str) -> bool:
        """Whether a password is that of a share, or the share needs none. This takes some 0.2 s, whatever it is."""
        return share.password_hash is None or matches_password(password, share.password_hash)

    def shares(self, list_id: int | None = None) -> list[Share]:
        """Return every share, including revoked ones, oldest first, without the secrets.

        Args:
            list_id: the list whose shares are returned; None: those of all lists.
        """
        return self._ask(operations.SHARES, None if list_id is None else _check_id(list_id))

    def revoke_share(self, share_id: str) -> None:
        """Revoke a share at once. Raises NotFound if there is no such share."""
        self._ask(operations.REVOKE_SHARE, share_id, self._now())

    def _ask(self, operation: Operation[P, R], *arguments: P.args, **named: P.kwargs) -> R:
        return self._store.ask(operation, *arguments, **named).result()

    def _find_owner(self, list_id: int) -> str | None:
        """Return the account that must own the list; None: the host application knows. Raises NotFound."""
        _check_id(list_id)
        if not self._own_lists:
            return None
        if (owner := self._directory.find_owner(list_id)) is None:
            raise NotFound(explain_missing_list(list_id))
        return owner

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock(), UTC)


def _check_id(list_id: int) -> int:
    if isinstance(list_id, bool) or not isinstance(list_id, int) or not 0 < list_id <= MAX_LIST_ID:
        raise EventsError(f"list_id={list_id!r} must be a whole number from 1 to {MAX_LIST_ID}.")
    return list_id


def _check_name(argument: str, given: str) -> str:
    if isinstance(given, str) and given.strip() and len(given) <= MAX_NAME and not re.search("[\ud800-\udfff]", given):
        return given
    raise EventsError(f"{argument} {str(given)[:20]!r} must be text of 1 to {MAX_NAME} characters.")


def _check_location(location: str) -> str:
    """Check that a text is a URL which stays within the dashboard, whatever the dashboard's own URL is."""
    if isinstance(location, str) and len(location) <= MAX_LOCATION and _visible(location):
        path = unquote(re.split("[?#]", location, maxsplit=1)[0])
        if not re.search(r"^/|[:\\]", path) and ".." not in path.split("/"):
            return location
    raise EventsError(
        f"location {str(location)[:60]!r} must be the URL of a page, relative to the dashboard, such as events?list=1: at most "
        f"{MAX_LOCATION} characters, percent-encoded."
    )
