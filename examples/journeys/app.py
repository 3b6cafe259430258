"""A shop that reacts to its events: a sign-up starts a welcome journey, and a checkout ends it.

README.md beside this file says how to start it and which requests to send.
"""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import falcon

from falcon_events import CommittedEvent, EventRefused, EventTracking, IncomingEvent, Plan, RequestRefused, event
from falcon_events.http import mount

DB = "journeys.sqlite"
"""Path of the shop's own database; the events are stored beside it."""
ACCOUNT, LIST = "shop", 1
STEPS = (("welcome", timedelta(0)), ("tips", timedelta(days=3)), ("voucher", timedelta(days=10)))
"""Mails of the welcome journey, and how long after the sign-up each is due."""

TABLES = """
create table if not exists customers (email text primary key, country text not null);
create table if not exists journeys (
    email text primary key, started_by text not null unique, ended_by text, total real, country text
);
create table if not exists mails (email text, name text, due_at text, primary key (email, name));
"""


@event("signup")
@dataclass
class Signup:
    """A customer has opened an account."""

    source: str = "shop"
    country: str | None = None


@event("checkout")
@dataclass
class Checkout:
    """An order was paid."""

    total: float
    country: str | None = None


def connect() -> sqlite3.Connection:
    """Connect to the shop's database; hooks run on other threads, so each use opens its own connection."""
    connection = sqlite3.connect(DB, isolation_level=None)
    connection.executescript(TABLES)
    return connection


def enrich(incoming: IncomingEvent) -> None:
    """Refuse throw-away addresses, and add what the shop knows about the customer, before an event is stored."""
    if incoming.email is not None and incoming.email.endswith("@mailinator.com"):
        raise EventRefused("Throw-away addresses are not accepted.")
    if incoming.event == "purchase":  # the name that an older app uses
        incoming.event = "checkout"
    row = connect().execute("select country from customers where email = ?", [incoming.email]).fetchone()
    if row is not None:
        incoming.properties["country"] = row[0]


def react(events: Sequence[CommittedEvent]) -> None:
    """Start and end journeys after events were committed, all in one transaction."""
    connection = connect()
    with connection:
        connection.execute("begin immediate")
        for one in events:
            if one.email is not None and one.event == "signup":
                start(connection, one.email, one.occurred_at, one.event_id, one.properties.get("country"))
            elif one.email is not None and one.event == "checkout":
                end(connection, one.email, one.event_id, one.properties["total"])


def start(connection: sqlite3.Connection, email: str, at: datetime, event_id: str, country: str | None) -> None:
    """Start the welcome journey, once for each customer."""
    journey = "insert or ignore into journeys (email, started_by, country) values (?, ?, ?)"
    if connection.execute(journey, [email, event_id, country]).rowcount:
        for name, after in STEPS:
            connection.execute("insert into mails values (?, ?, ?)", [email, name, (at + after).isoformat()])


def end(connection: sqlite3.Connection, email: str, event_id: str, total: float) -> None:
    """End the welcome journey: a customer who has bought something needs no voucher."""
    journey = "update journeys set ended_by = ?, total = ? where email = ? and ended_by is null"
    if connection.execute(journey, [event_id, total, email]).rowcount:
        connection.execute("delete from mails where email = ? and name <> 'welcome'", [email])


tracking = EventTracking(f"{DB}.events", before_store=enrich, after_commit=react, plan=Plan(Signup, Checkout, unknown="reject"))
tracking.directory.ensure_list(LIST, "Customers", ACCOUNT)


class Events:
    """Events in the shop itself, tracked from Python as instances of the plan's classes."""

    def on_post_signup(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Open an account."""
        form = req.get_media()
        connect().execute("insert or replace into customers values (?, ?)", [form["email"], form["country"]])
        tracking.track(LIST, Signup(), email=form["email"])
        resp.status = falcon.HTTP_CREATED

    def on_post_checkout(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Pay for an order."""
        form = req.get_media()
        tracking.track(LIST, Checkout(form["total"]), email=form["email"])
        resp.status = falcon.HTTP_CREATED


class Journeys:
    """Customers' journeys and the mails that are due."""

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Return the state of a customer's journey."""
        connection = connect()
        email = req.get_param("email", required=True)
        journey = connection.execute("select country, ended_by is null, total from journeys where email = ?", [email]).fetchone()
        mails = connection.execute("select name from mails where email = ? order by due_at", [email]).fetchall()
        country, is_active, total = journey or (None, False, None)
        resp.media = {"active": bool(is_active), "country": country, "total": total, "mails": [name for (name,) in mails]}


def refused(req: falcon.Request, resp: falcon.Response, error: RequestRefused, params: object) -> None:
    """Turn a refusal by tracking into the shop's own answer."""
    raise falcon.HTTPUnprocessableEntity(description=str(error))


app = falcon.App()
app.add_error_handler(RequestRefused, refused)
app.add_route("/signup", Events(), suffix="signup")
app.add_route("/checkout", Events(), suffix="checkout")
app.add_route("/journeys", Journeys())
mount(app, tracking, prefix="/tracking")
