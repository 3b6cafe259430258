"""A Flask application with a sign-up form, tracked on the server and in the browser.

README.md beside this file says how to start it and what to send.
"""

from typing import Any

from flask import Flask, render_template, request
from markupsafe import Markup

from falcon_events import EventTracking, RequestRefused
from falcon_events.http import WSGIMiddleware

NEWSLETTER = 1

tracking = EventTracking("events.duckdb")
tracking.directory.ensure_list(NEWSLETTER, "Newsletter", account="club")

app = Flask(__name__)
app.wsgi_app = WSGIMiddleware(app.wsgi_app, tracking, prefix="/tracking")


@app.template_global()
def tracker() -> Markup:
    """The lines for a template's head; the list's key for web pages is in them."""
    return Markup(tracking.snippet(NEWSLETTER, url="/tracking"))


@app.get("/")
def form() -> str:
    """The page, which tracks its views by itself."""
    return render_template("form.html")


@app.post("/members")
def join() -> tuple[dict[str, Any], int]:
    """Somebody joins; the name is a trait of the person, kept beside the address."""
    tracked = tracking.track(
        NEWSLETTER,
        "join",
        email=request.form.get("email"),
        properties={"plan": request.form.get("plan", "free")},
        identify_properties={"name": request.form.get("name", "")},
    )
    return {"member": tracked.uuid, "new": tracked.identify_event_sent}, 201


@app.get("/properties")
def properties() -> dict[str, list[str]]:
    """The property names of the list, by event type."""
    return tracking.properties(NEWSLETTER)


@app.errorhandler(RequestRefused)
def refused(error: RequestRefused) -> tuple[dict[str, str], int]:
    """The application's own words for what tracking refuses."""
    return {"error": str(error)}, error.status
