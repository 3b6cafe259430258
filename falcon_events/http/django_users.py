"""The user of a Django project who sent a request that Django has not seen. Django is loaded with the first call."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import falcon


def django_user(request: falcon.Request) -> Any:
    """Return the user who is signed in to Django, or its AnonymousUser, as `request.user` is in a view.

    It reads the session of Django's cookie with all of Django's checks, such as whether the password was changed since, and
    changes no session. Call it in a plain function: Django's models must not be used inside coroutines.

    Args:
        request: the request that the function given as `dashboard=` gets.
    """
    from django.conf import settings
    from django.contrib.auth import get_user
    from django.db import close_old_connections
    from django.http import HttpRequest, parse_cookie

    cookies = parse_cookie(request.get_header("Cookie") or "")
    session = import_module(settings.SESSION_ENGINE).SessionStore(cookies.get(settings.SESSION_COOKIE_NAME))
    # After a change of SECRET_KEY Django gives a session another id, which the browser would not learn from the dashboard.
    session.cycle_key = session.flush = lambda: None
    seen = HttpRequest()
    seen.session = session
    close_old_connections()  # as Django does around its own requests
    try:
        return get_user(seen)
    finally:
        close_old_connections()
