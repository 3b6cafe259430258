"""Who sent a request, as the host application's function says."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any

from falcon_events.access.protocol import Principal
from falcon_events.runtime.steps import Call, Steps

logger = logging.getLogger(__name__)

Who = Callable[[Any], Principal | Awaitable[Principal | None] | None]
"""Says who sent a request: the host's function, which gets the host's own request."""
REFUSALS = (401, 403)
"""The status of exceptions by which a framework says that somebody is not signed in, or may not."""


class HostUsers:
    """The users of the host application.

    Args:
        who: the host's function that says who sent a request.
    """

    def __init__(self, who: Who) -> None:
        self._who = who
        self._has_warned = False

    def identify(self, request: Any) -> Steps[Principal | None]:
        """Return who sent a request and may read; None if nobody is known to.

        Raises:
            RuntimeError: the host's function raised an exception, other than one of its framework with the status 401 or 403.
        """
        try:
            found = yield Call(self._who, request)
        except Exception as error:
            if getattr(error, "status_code", getattr(error, "code", None)) in REFUSALS:
                return None
            raise RuntimeError("The function given as dashboard= raised an exception") from error
        if found is None:
            return None
        if isinstance(found, Principal) and isinstance(found.account, str) and found.scope.may_read:
            return found
        self._warn(found)
        return None

    def _warn(self, found: object) -> None:
        """Say in the log, once, that a value is nobody. The value itself may be secret."""
        if self._has_warned:
            return
        self._has_warned = True
        if not isinstance(found, Principal):
            what = f"a {type(found).__name__}"
        elif isinstance(found.account, str):
            what = f"a Principal of scope {found.scope}, which may not read"
        else:
            what = f"a Principal whose account is a {type(found.account).__name__} in place of a str"
        logger.error(
            "The function given as dashboard= returned %s, and so lets nobody in. It has to return a falcon_events.Principal,"
            ' such as Principal("*") for the lists of all accounts, or None.',
            what,
        )
