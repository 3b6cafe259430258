"""The tracker of the project, and who may do what: the project's own users, sessions and newsletters say so."""

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
    """Tracking answers outside of Django's requests, at whose ends Django lets go of database connections that have ended."""
    close_old_connections()
    try:
        yield
    finally:
        close_old_connections()


class DjangoAccess:
    """Answers from the project's tables; plain methods, as Django's models want them: under ASGI they run in threads."""

    def identify(self, credential: Credential) -> Principal | None:
        """The user of a session that Django made, or the owner of the newsletter whose page has this key."""
        with fresh_connection():
            if credential.kind == "session":
                request = HttpRequest()
                request.session = SessionStore(credential.secret)
                user = get_user(request)  # with all that Django checks: whether the password is still the same, for one
                return Principal(str(user.pk)) if user.is_authenticated else None
            found = Newsletter.objects.filter(page_key=credential.secret).first()
            return Principal(str(found.owner_id), Scope.INGEST, list_ids=frozenset([found.pk])) if found else None

    def owns_list(self, account: str, list_id: int) -> bool:
        """Whether the newsletter is the user's."""
        with fresh_connection():
            return Newsletter.objects.filter(pk=list_id, owner=int(account)).exists()


tracking = EventTracking(settings.EVENTS_DB, access=DjangoAccess())
