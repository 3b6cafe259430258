"""Webhooks and deliveries: what those outside the store are told of them, and what a courier takes and brings back."""

from __future__ import annotations

from datetime import datetime

import msgspec

WAITING = "waiting"
BLOCKED = "blocked"
FAILED = "failed"
STATES = (WAITING, BLOCKED, FAILED)
"""Of a delivery: to be tried again; behind an earlier one of the same visitor; given up."""


class Webhook(msgspec.Struct, frozen=True):
    """Where committed events are posted to, and the secret by which the receiver knows that they are ours.

    `list_ids` and `events` are the lists and event types that are delivered, or None for all; `made` says that it is new.
    """

    webhook_id: str
    url: str
    secret: str
    list_ids: list[int] | None
    events: list[str] | None
    created_at: datetime
    made: bool = False

    def __repr__(self) -> str:
        return f"Webhook({self.url!r})"  # a secret has no business in a log


class WebhookState(msgspec.Struct, frozen=True):
    """A webhook and how it does; its secret is not told.

    `state` is `active`, `paused` (tried again at `resume_at`) or `disabled` (its receiver has said that it is gone). `unread`
    is how many events of the store come after the last one that was looked at.
    """

    webhook_id: str
    url: str
    list_ids: list[int] | None
    events: list[str] | None
    created_at: datetime
    state: str
    unread: int
    waiting: int
    failed: int
    resume_at: datetime | None
    last_error: str | None


class Delivery(msgspec.Struct, frozen=True):
    """An event that could not be delivered yet, or waits behind such a one of the same visitor."""

    event_id: str
    url: str
    list_id: int
    visitor: str
    state: str
    attempts: int
    next_attempt_at: datetime | None
    last_status: int | None
    last_error: str | None
    seq: int


class Target(msgspec.Struct, frozen=True):
    """A webhook as a courier needs it; times are microseconds since 1970.

    `secrets` are the present one and, for a while after a change, the one before. `failures` counts how often the whole
    receiver was out of order without a success in between.
    """

    webhook_id: str
    url: str
    secrets: list[str]
    list_ids: list[int] | None
    events: list[str] | None
    next_seq: int
    disabled: bool
    failures: int
    resume_at: int | None


class Letter(msgspec.Struct, frozen=True, gc=False):
    """An event to deliver: its body is the same with every attempt. `kept` says that it has a row in deliveries."""

    seq: int
    event_id: str
    list_id: int
    visitor: str
    body: bytes
    attempts: int = 0
    kept: bool = False
    blocked: bool = False
    """Whether an earlier one of the same visitor waits."""


class Work(msgspec.Struct, frozen=True):
    """What there is to deliver now.

    `due` are letters whose time has come, `fresh` events from `next_seq` on, up to `until` with what the webhook's filters leave
    out; `next_due` is when the next delivery is to be tried again, and `more` whether further events follow upon `until`.
    """

    target: Target
    due: list[Letter]
    fresh: list[Letter]
    until: int
    next_due: int | None
    more: bool
    waiting: int
    """How many of its deliveries wait, due or not."""


class Kept(msgspec.Struct, frozen=True):
    """A row of deliveries to be written."""

    seq: int
    event_id: str
    list_id: int
    visitor: str
    attempts: int
    next_attempt_at: int
    last_status: int | None = None
    last_error: str | None = None
    failed: bool = False


class Settlement(msgspec.Struct, frozen=True):
    """What became of letters, to be recorded in one transaction.

    Args:
        webhook_id: whose.
        next_seq: everything before it is delivered, or has a row.
        gone: the seqs of rows that are not needed any more.
        kept: rows to write.
        failures: as Target has it.
        resume_at: until when nothing is tried, in microseconds since 1970.
        disabled: whether the receiver has said that it is gone.
        last_error: of the receiver as a whole.
    """

    webhook_id: str
    next_seq: int
    gone: list[int]
    kept: list[Kept]
    failures: int = 0
    resume_at: int | None = None
    disabled: bool = False
    last_error: str | None = None
