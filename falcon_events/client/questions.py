"""The arguments of questions to a remote server."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from falcon_events.contract.body import Params
from falcon_events.errors import EventsError
from falcon_events.query.arguments import write_params


def write_question(arguments: Mapping[str, Any]) -> Params:
    """Return the parameters of a question from the arguments of a call.

    Raises:
        EventsError: an argument is a credential, or of a type that JSON does not have; the message names it.
    """
    for credential in ("api_key", "session_id"):
        if arguments.get(credential) is not None:
            raise EventsError(f"{credential}: a client asks with its own key; for another one, create another client")
    return write_params(arguments)
