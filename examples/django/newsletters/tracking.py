"""The project's tracker, which uses the project's own users, sessions and newsletters as accounts, credentials and lists."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module

from django.conf import settings
from django.contrib.auth import get_user
from django.db import close_old_connections
from django.http import HttpRequest

from falcon_events import Credential, EventTracking, Principal, Scope
from newsletters.models import Newsletter

SessionStore = import_module(settings.SESSION_ENGINE).SessionStore


@contextmanager
def fresh_connection() -> Iterator[None]:
    """Close old database connections, as Django does around its own requests; tracking runs outside of these."""
    close_old_connections()
    try:
        yield
    finally:
        close_old_connections()


class DjangoAccess:
    """Access by the project's tables; its methods are plain because Django's models need threads under ASGI."""

    def identify(self, credential: Credential) -> Principal | None:
        """Return the user of a Django session, or the owner of the newsletter whose page has this key."""
        with fresh_connection():
            if credential.kind == "session":
                request = HttpRequest()
                request.session = SessionStore(credential.secret)
                user = get_user(request)  # with all of Django's checks, such as whether the password has changed since
                return Principal(str(user.pk)) if user.is_authenticated else None
            found = Newsletter.objects.filter(page_key=credential.secret).first()
            return Principal(str(found.owner_id), Scope.INGEST, list_ids=frozenset([found.pk])) if found else None

    def owns_list(self, account: str, list_id: int) -> bool:
        """Return whether the newsletter belongs to the user."""
        with fresh_connection():
            return Newsletter.objects.filter(pk=list_id, owner=int(account)).exists()


tracking = EventTracking(settings.EVENTS_DB, access=DjangoAccess())
