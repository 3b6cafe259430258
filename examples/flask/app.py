"""A Flask application with a sign-up form, tracked on the server and in the browser.

README.md beside this file says how to start it and which requests to send.
"""

from typing import Any

from flask import Flask, render_template, request
from markupsafe import Markup

from falcon_events import EventTracking, RequestRefused
from falcon_events.http import WSGIMiddleware, visitor_of

NEWSLETTER = 1

tracking = EventTracking("events.duckdb")
tracking.directory.ensure_list(NEWSLETTER, "Newsletter", account="club")

app = Flask(__name__)
app.wsgi_app = WSGIMiddleware(app.wsgi_app, tracking, prefix="/tracking")


@app.template_global()
def tracker() -> Markup:
    """Return the tracker's lines for a template's head; they contain the list's key for web pages."""
    return Markup(tracking.snippet(NEWSLETTER, url="/tracking"))


@app.get("/")
def form() -> str:
    """Return the page, which tracks its own views."""
    return render_template("form.html")


@app.post("/members")
def join() -> tuple[dict[str, Any], int]:
    """Track somebody who joins; the name is a trait of the person, stored with the address."""
    tracked = tracking.track(
        NEWSLETTER,
        "join",
        email=request.form.get("email"),
        uuid=visitor_of(request),
        properties={"plan": request.form.get("plan", "free")},
        identify_properties={"name": request.form.get("name", "")},
    )
    return {"member": tracked.uuid, "new": tracked.identify_event_sent}, 201


@app.get("/properties")
def properties() -> dict[str, list[str]]:
    """Return the property names of the list, by event type."""
    return tracking.properties(NEWSLETTER)


@app.errorhandler(RequestRefused)
def refused(error: RequestRefused) -> tuple[dict[str, str], int]:
    """Turn a refusal by tracking into the application's own answer."""
    return {"error": str(error)}, error.status
