"""Event tracking for Python web applications: two documented HTTP endpoints and the store behind them."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from falcon_events._version import __version__ as __version__

if TYPE_CHECKING:
    from falcon_events.access.protocol import Access, Credential, Principal, Scope
    from falcon_events.contract.replies import Tracked
    from falcon_events.errors import (
        AlreadyExists,
        EventDropped,
        EventRefused,
        EventsError,
        Failure,
        InvalidRequest,
        NotAllowed,
        NotAuthenticated,
        NotFound,
        PlanError,
        RateLimited,
        RequestRefused,
        SettingError,
        StoreClosed,
        StoreError,
        StoreLocked,
        StoreMissing,
        StoreUnavailable,
    )
    from falcon_events.hooks.events import CommittedEvent, IncomingEvent
    from falcon_events.plan.declarations import event
    from falcon_events.plan.plan import Plan
    from falcon_events.settings import Settings
    from falcon_events.tracking import EventTracking

__all__ = [
    "Access",
    "AlreadyExists",
    "CommittedEvent",
    "Credential",
    "EventDropped",
    "EventRefused",
    "EventTracking",
    "EventsError",
    "Failure",
    "IncomingEvent",
    "InvalidRequest",
    "NotAllowed",
    "NotAuthenticated",
    "NotFound",
    "Plan",
    "PlanError",
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
    "event",
]

_MODULES = {
    "falcon_events.access.protocol": (
        "Access",
        "Credential",
        "Principal",
        "Scope",
    ),
    "falcon_events.contract.replies": ("Tracked",),
    "falcon_events.errors": (
        "AlreadyExists",
        "EventDropped",
        "EventRefused",
        "EventsError",
        "Failure",
        "InvalidRequest",
        "NotAllowed",
        "NotAuthenticated",
        "NotFound",
        "PlanError",
        "RateLimited",
        "RequestRefused",
        "SettingError",
        "StoreClosed",
        "StoreError",
        "StoreLocked",
        "StoreMissing",
        "StoreUnavailable",
    ),
    "falcon_events.hooks.events": ("CommittedEvent", "IncomingEvent"),
    "falcon_events.plan.declarations": ("event",),
    "falcon_events.plan.plan": ("Plan",),
    "falcon_events.settings": ("Settings",),
    "falcon_events.tracking": ("EventTracking",),
}


def __getattr__(name: str) -> Any:
    """Loads a public name's module with its first use: the owner of a store's file needs few of them, and none at its start."""
    for module, names in _MODULES.items():
        if name in names:
            value = globals()[name] = getattr(import_module(module), name)
            return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
