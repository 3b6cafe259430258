"""A Flask application with sessions (`app`), and one with Flask-Login (`with_login`); both refuse all forms."""

from __future__ import annotations

import os
from typing import Any

from flask import Flask, Response, abort, request, session

from falcon_events.http import WSGIMiddleware
from tests.apps.common import HELLO, PREFIX, make_tracking
from tests.apps.staff import OWN_PAGE, SECRET, STAFF, documented_who

tracking = make_tracking()


def make_app() -> Flask:
    """The host application, without a tracker."""
    app = Flask(__name__)
    app.secret_key = SECRET

    @app.get("/hello")
    def hello() -> str:
        return HELLO

    @app.get("/dashboard/")
    def own_page() -> str:
        return OWN_PAGE

    @app.before_request
    def refuse_forms() -> None:
        if request.method == "POST":
            abort(400)

    @app.after_request
    def secure(response: Response) -> Response:
        response.headers["Content-Security-Policy"] = "default-src 'none'"
        return response

    return app


def wrap(app: Flask, changes: dict[str, str] | None = None) -> Any:
    """Puts the tracker in front."""
    app.wsgi_app = WSGIMiddleware(  # type: ignore[method-assign]
        app.wsgi_app, tracking, prefix=PREFIX, dashboard=documented_who("flask", {"app": app}, changes)
    )
    return app


plain = make_app()


@plain.get("/sign-in")
def sign_in() -> str:
    """Signs a user in."""
    session["is_staff"] = request.args["name"] == STAFF
    return HELLO


app = wrap(plain)

if os.environ.get("HOST_LOGIN"):
    import flask_login

    with_login = make_app()
    manager = flask_login.LoginManager(with_login)

    class User(flask_login.UserMixin):
        """A user of the host."""

        def __init__(self, name: str) -> None:
            self.id = name
            self.is_staff = name == STAFF

    manager.user_loader(User)

    @with_login.get("/sign-in")
    def log_in() -> str:
        """Signs a user in."""
        flask_login.login_user(User(request.args["name"]))
        return HELLO

    wrap(
        with_login,
        {
            "from flask import session": "from flask_login import current_user",
            'if session.get("is_staff") else': 'if getattr(current_user, "is_staff", False) else',
        },
    )
