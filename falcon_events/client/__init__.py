"""A sync and async client for the API of a remote server: retries that store each event once, batches, a background queue.

It needs the extra `client`: `pip install 'falcon-events[client]'`.
"""

from __future__ import annotations

try:
    import httpx as _httpx  # noqa: F401  so that a missing httpx is reported here, not by an inner module
except ModuleNotFoundError as error:
    raise ImportError("falcon_events.client needs httpx: pip install 'falcon-events[client]'") from error

from falcon_events.client.async_client import AsyncClient
from falcon_events.client.events import Event
from falcon_events.client.sync_client import Client
from falcon_events.contract.replies import Tracked
from falcon_events.errors import (
    ClientClosed,
    EventsError,
    Failure,
    InvalidRequest,
    NoAnswer,
    NotAllowed,
    NotAuthenticated,
    QueryTooLong,
    QueueFull,
    RateLimited,
    RequestRefused,
    StoreUnavailable,
)

__all__ = [
    "AsyncClient",
    "Client",
    "ClientClosed",
    "Event",
    "EventsError",
    "Failure",
    "InvalidRequest",
    "NoAnswer",
    "NotAllowed",
    "NotAuthenticated",
    "QueryTooLong",
    "QueueFull",
    "RateLimited",
    "RequestRefused",
    "StoreUnavailable",
    "Tracked",
]
