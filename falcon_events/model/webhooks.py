"""Webhooks and deliveries: reports about them, and what the store and the process that delivers exchange."""

from __future__ import annotations

from datetime import datetime

import msgspec

WAITING = "waiting"
BLOCKED = "blocked"
FAILED = "failed"
STATES = (WAITING, BLOCKED, FAILED)
"""States of a delivery: to be tried again; waiting behind an earlier one of the same visitor; given up."""


class Webhook(msgspec.Struct, frozen=True):
    """A URL that committed events are posted to, and the secret that signs them.

    `list_ids` and `events` are the lists and event types that are delivered; None: all. `made` is set if the webhook is new.
    """

    webhook_id: str
    url: str
    secret: str
    list_ids: list[int] | None
    events: list[str] | None
    created_at: datetime
    made: bool = False

    def __repr__(self) -> str:
        return f"Webhook({self.url!r})"  # keeps the secret out of logs


class WebhookState(msgspec.Struct, frozen=True):
    """The state of a webhook, without its secret.

    `state` is `active`, `paused` (tried again at `resume_at`) or `disabled` (its receiver answered that it is gone). `unread`
    is how many events of the store come after the last one that was read for delivery.
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
    """An event that could not be delivered yet, or that waits behind one of the same visitor that could not."""

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
    """A webhook with what is needed to deliver to it. Times are microseconds since 1970.

    `secrets` are the current secret and, for a while after a change, the previous one. `failures` counts how often in a row
    the receiver as a whole failed.
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


class OutgoingEvent(msgspec.Struct, frozen=True, gc=False):
    """An event to deliver. Its body is the same in every attempt."""

    seq: int
    event_id: str
    list_id: int
    visitor: str
    body: bytes
    attempts: int = 0
    blocked: bool = False
    """Whether an earlier event of the same visitor waits."""


class Work(msgspec.Struct, frozen=True):
    """Events to deliver to a webhook now.

    `due` are deliveries to try again now. `fresh` are new events from the target's `next_seq` to `until`, without those that
    the webhook's filters exclude. `next_due` is when the next delivery is to be tried again. `more` is set if there are
    events after `until`.
    """

    target: Target
    due: list[OutgoingEvent]
    fresh: list[OutgoingEvent]
    until: int
    next_due: int | None
    more: bool
    waiting: int
    """How many deliveries of the webhook wait, due or not."""


class DeliveryRow(msgspec.Struct, frozen=True):
    """A row to write to the table `deliveries`."""

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
    """The outcome of a round of deliveries to one webhook, to be recorded in one transaction.

    Args:
        webhook_id: the webhook.
        next_seq: every event before it is delivered, or has a row.
        gone: the `seq` of each row to delete.
        rows: the rows to write.
        failures: how often in a row the receiver as a whole failed, as in Target.
        resume_at: when deliveries resume, in microseconds since 1970.
        disabled: whether the receiver answered that it is gone.
        last_error: the last error of the receiver as a whole.
    """

    webhook_id: str
    next_seq: int
    gone: list[int]
    rows: list[DeliveryRow]
    failures: int = 0
    resume_at: int | None = None
    disabled: bool = False
    last_error: str | None = None
