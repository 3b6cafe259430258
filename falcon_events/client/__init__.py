"""A client for a remote server's API, sync and async: retries that store once, batches, a queue in the background.

It needs the extra `client`: `pip install 'falcon-events[client]'`.
"""

from __future__ import annotations

try:
    import httpx as _httpx  # noqa: F401  so that its absence is told here, and not from somewhere within
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
    "QueueFull",
    "RateLimited",
    "RequestRefused",
    "StoreUnavailable",
    "Tracked",
]
