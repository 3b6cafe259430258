"""A Django project with its users, sessions and security middlewares, under WSGI (`wsgi`) and ASGI (`asgi`)."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import django
from django.conf import settings
from django.contrib.auth import authenticate, get_user_model, login
from django.core.asgi import get_asgi_application
from django.core.management import call_command
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse
from django.urls import path

from falcon_events.http import ASGIMiddleware, WSGIMiddleware
from tests.apps.common import HELLO, PREFIX, make_tracking
from tests.apps.staff import OWN_PAGE, RAISES, STAFF, documented_who

settings.configure(
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    SECRET_KEY=os.environ.get("HOST_SECRET", "one"),
    SECRET_KEY_FALLBACKS=["one"],
    LOGGING_CONFIG=None,
    PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": Path(os.environ["HOST_DB"]).with_name("db.sqlite3")}},
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions"],
    MIDDLEWARE=[
        "django.middleware.security.SecurityMiddleware",
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.common.CommonMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.middleware.clickjacking.XFrameOptionsMiddleware",
    ],
    USE_TZ=True,
)
django.setup()


def hello(request: HttpRequest) -> HttpResponse:
    """Answers with who is signed in."""
    return HttpResponse(f"{HELLO} {request.user}")


def sign_in(request: HttpRequest) -> HttpResponse:
    """Signs a user in."""
    user = authenticate(request, username=request.GET["name"], password="secret")
    assert user is not None
    login(request, user)
    return HttpResponse(HELLO)


def change_password(request: HttpRequest) -> HttpResponse:
    """Sets another password, which ends the user's sessions."""
    user = get_user_model().objects.get(username=request.GET["name"])
    user.set_password("another")
    user.save()
    return HttpResponse(HELLO)


def own_page(request: HttpRequest) -> HttpResponse:
    """A page of the host's own."""
    return HttpResponse(OWN_PAGE)


def fill() -> None:
    """Makes the tables and the users; in a thread, since a server imports this inside a coroutine."""
    call_command("migrate", verbosity=0)
    users = get_user_model().objects
    for name in (STAFF, RAISES, "bob"):
        if not users.filter(username=name).exists():
            users.create_user(name, password="secret", is_staff=name != "bob")


filling = threading.Thread(target=fill)
filling.start()
filling.join()
urlpatterns = [
    path("hello", hello),
    path("sign-in", sign_in),
    path("change-password", change_password),
    path("dashboard/", own_page),
]
tracking = make_tracking()
who = documented_who("django", {})
wsgi = WSGIMiddleware(get_wsgi_application(), tracking, prefix=PREFIX, dashboard=who)
asgi = ASGIMiddleware(get_asgi_application(), tracking, prefix=PREFIX, dashboard=who)
