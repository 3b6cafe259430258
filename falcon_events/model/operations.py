"""Operations that the owner of a store carries out for other processes. Both ends of the link use this registry.

Each operation has a name, typed arguments and a typed result. A `Read` changes nothing. A `Write` changes the store. It is
repeatable if doing it twice has the same effect as doing it once.
"""

from __future__ import annotations

import typing
from datetime import datetime
from typing import Any, Generic, ParamSpec, TypeVar

from falcon_events.model.access import Account, EventList, Grant, Key, ListRules
from falcon_events.model.boards import DashboardView, Share
from falcon_events.model.persons import Erased, Visitor
from falcon_events.model.reports import (
    Check,
    Health,
    Metrics,
    ObservedProperty,
    OwnerState,
    PruneReport,
    QueryAnswer,
    Recount,
    SeenEvents,
    SeenProperties,
    Selection,
    Sizes,
    Stats,
)
from falcon_events.model.webhooks import Delivery, Webhook, WebhookState

P = ParamSpec("P")
R = TypeVar("R")


class Operation(Generic[P, R]):
    """One operation. The type parameters are its arguments and its result: `Read[[int], Recount]("recount")`.

    Args:
        name: its name on the link.
        repeatable: whether it may be sent to a second owner if the first one dies before it answers.
        urgent: whether the caller waits at most `commit_wait_s` seconds, as for an event.
        timed: whether it may take `query_timeout_s` seconds. After that time it is not sent to a second owner.
    """

    __orig_class__: Any  # set by typing when a parametrized class is called

    def __init__(self, name: str, *, repeatable: bool, urgent: bool, timed: bool = False) -> None:
        self.name = name
        self.repeatable = repeatable
        self.urgent = urgent
        self.timed = timed

    @property
    def arguments(self) -> tuple[Any, ...]:
        """The types of the arguments, in order."""
        return tuple(typing.get_args(self.__orig_class__)[0])

    @property
    def result(self) -> Any:
        """The type of the result."""
        return typing.get_args(self.__orig_class__)[1]


class Read(Operation[P, R]):
    """An operation that changes nothing, so that it may be sent to a second owner, unless it may be what killed the first."""

    def __init__(self, name: str, *, urgent: bool = False, repeatable: bool = True, timed: bool = False) -> None:
        super().__init__(name, repeatable=repeatable, urgent=urgent, timed=timed)


class Write(Operation[P, R]):
    """An operation that changes the store."""

    def __init__(self, name: str, *, repeatable: bool) -> None:
        super().__init__(name, repeatable=repeatable, urgent=False)


# Needed by requests.
PROPERTIES = Read[[int], dict[str, list[str]]]("properties", urgent=True)
COUNT_REQUEST = Read[[str, str, int], int]("count_request", urgent=True)
"""Arguments: kind of limit, key or address, requests per minute. Result: seconds until the next request is allowed, 0 if it is
allowed now. The owner counts in memory only."""
SALT = Read[[int], bytes]("salt", urgent=True)
"""Argument: a day, counted from 1970. Result: the salt for hashes of client addresses on that day."""
QUERY = Read[[bytes], QueryAnswer]("query", timed=True)
"""Argument: a checked question (`Asked` in query/question.py) as MessagePack."""
CHANGE_SAVED = Write[[bytes], QueryAnswer]("change_saved", repeatable=False)
"""Argument: a query or segment to save or to forget (query/question.py) as MessagePack."""
HEALTH = Read[[], Health]("health")

# Accounts, lists, keys and sessions.
ACCOUNTS = Read[[], list[Account]]("accounts")
ACCOUNT_ID = Read[[str], str]("account_id")
LISTS = Read[[], list[EventList]]("lists")
RULES = Read[[], list[ListRules]]("rules")
KEYS = Read[[], list[Key]]("keys")
ADD_ACCOUNT = Write[[Account], None]("add_account", repeatable=False)
ADD_LIST = Write[[int | None, str, str, datetime], int]("add_list", repeatable=False)
RENAME_LIST = Write[[int, str], None]("rename_list", repeatable=False)
DELETE_LIST = Write[[int], None]("delete_list", repeatable=False)
SET_RULES = Write[[ListRules], None]("set_rules", repeatable=False)
ADD_KEY = Write[[str, Grant, datetime], None]("add_key", repeatable=False)
REVOKE_KEY = Write[[str, bytes, datetime], bytes]("revoke_key", repeatable=False)
ADD_SESSION = Write[[bytes, str, datetime, datetime], None]("add_session", repeatable=False)
SIGN_IN = Write[[bytes, bytes, datetime, datetime], Grant | None]("sign_in", repeatable=False)
"""Arguments: hash of the new session's id, hash of a key, now, expiry. Result: the rights of the key, None if it is not valid.
A key that may not read gets no session."""
RENEW_SESSION = Write[[bytes, datetime, datetime], None]("renew_session", repeatable=True)
"""Arguments: hash of the session's id, now, the earliest expiry that the session shall have."""
REVOKE_SESSION = Write[[bytes, datetime], None]("revoke_session", repeatable=False)

# Boards of the dashboard, and shares. An account is the one that must own the list; None: the lists are the host application's.
VIEWS = Read[[int], list[DashboardView]]("views")
SAVE_VIEW = Write[[str | None, DashboardView], DashboardView]("save_view", repeatable=True)
"""Arguments: account, the view, which takes the place of the one of its name on its board. Result: the view as it is stored."""
REMOVE_VIEW = Write[[int, str, str], None]("remove_view", repeatable=False)
"""Arguments: list, board, name."""
SHARES = Read[[int | None], list[Share]]("shares")
"""Argument: a list, or None for all."""
FIND_SHARE = Read[[bytes], Share | None]("find_share", urgent=True)
"""Argument: the hash of a secret. Result: the share, None if there is none or it is revoked."""
ADD_SHARE = Write[[str | None, bytes, Share], None]("add_share", repeatable=False)
"""Arguments: account, the hash of the secret, the share."""
REVOKE_SHARE = Write[[str, datetime], None]("revoke_share", repeatable=False)
"""Arguments: ID of the share, now."""

# Administration.
OBSERVED_PROPERTIES = Read[[int | None], list[ObservedProperty]]("observed_properties")
"""Argument: a list, or None for all. Result: one report for each event type, property and type of value."""
SEEN_EVENTS = Read[[int, list[str], str], SeenEvents]("seen_events")
"""Arguments: a list, the event types to report, and a text that the names of the types to count contain."""
SEEN_PROPERTIES = Read[[int, str, str, int, int], SeenProperties]("seen_properties")
"""Arguments: a list, an event type, a text that the names contain, how many properties at most, and how many to skip."""
RECOUNT = Read[[int], Recount]("recount")
STATS = Read[[], Stats]("stats")
EXPORT = Read[[Selection, str, str], int]("export")
"""Arguments: the events, the target file, `parquet` or `ndjson`. Result: the number of events written."""
PERSONAL_DATA = Read[[Visitor], bytes]("personal_data")
"""Result: a PersonalData as JSON, because MessagePack cannot hold all numbers in properties."""
LATEST = Read[[int, int, int], bytes]("latest")
"""Arguments: list, `seq` after which to start, how many. Result: an array of [seq, StoredEvent] as JSON."""
ERASE = Write[[Visitor], Erased]("erase", repeatable=True)
SQL = Read[[str], bytes]("sql", repeatable=False)
"""Argument: one SELECT. Result: a Table as MessagePack, which the owner does not decode."""
SQL_ARROW = Read[[str], bytes]("sql_arrow", repeatable=False)
"""Argument: one SELECT. Result: an Arrow IPC stream."""
BACKUP = Read[[str], int]("backup")
COMPACT = Write[[], Sizes]("compact", repeatable=True)
PRUNE = Write[[int | None, bool, int | None], list[PruneReport]]("prune", repeatable=True)
"""Arguments: a list, or None for all whose rules say for how many days events are kept; whether to delete nothing; if so, a rule
that the list shall have instead of its own, or None."""
CHECK = Read[[], list[Check]]("check")
REBUILD_COLUMNS = Write[[], None]("rebuild_columns", repeatable=True)
METRICS = Read[[], Metrics]("metrics")
OWNER = Read[[], OwnerState]("owner")

# Webhooks.
SET_WEBHOOK = Write[[str, str | None, list[int] | None, list[str] | None, bool], Webhook]("set_webhook", repeatable=True)
"""Arguments: URL, secret, lists, event types, whether events stored before are delivered too. Result: the webhook."""
REMOVE_WEBHOOK = Write[[str], int]("remove_webhook", repeatable=False)
WEBHOOKS = Read[[], list[WebhookState]]("webhooks")
DELIVERIES = Read[[str | None, str | None, int], list[Delivery]]("deliveries")
RETRY_DELIVERIES = Write[[str | None, str | None], int]("retry_deliveries", repeatable=True)

OPERATIONS: dict[str, Operation[..., Any]] = {
    operation.name: operation for operation in list(globals().values()) if isinstance(operation, Operation)
}
"""Every operation by name."""
