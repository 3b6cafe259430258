"""Event tracking for Python web applications: two documented HTTP endpoints and the store behind them."""

from falcon_events.access.protocol import Access, Credential, Principal, Scope
from falcon_events.contract.answers import Tracked
from falcon_events.errors import (
    AlreadyExists,
    EventsError,
    Failure,
    InvalidRequest,
    NotAllowed,
    NotAuthenticated,
    NotFound,
    RateLimited,
    RequestRefused,
    SettingError,
    StoreClosed,
    StoreError,
    StoreLocked,
    StoreMissing,
    StoreUnavailable,
)
from falcon_events.settings import Settings
from falcon_events.tracking import EventTracking

__version__ = "0.1.0"

__all__ = [
    "Access",
    "AlreadyExists",
    "Credential",
    "EventTracking",
    "EventsError",
    "Failure",
    "InvalidRequest",
    "NotAllowed",
    "NotAuthenticated",
    "NotFound",
    "Principal",
    "RateLimited",
    "RequestRefused",
    "Scope",
    "SettingError",
    "Settings",
    "StoreClosed",
    "StoreError",
    "StoreLocked",
    "StoreMissing",
    "StoreUnavailable",
    "Tracked",
]
