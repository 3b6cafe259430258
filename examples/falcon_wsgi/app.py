"""A Falcon shop (WSGI) that tracks its orders from Python and its visitors from a page.

README.md beside this file says how to start it and which requests to send.
"""

import uuid

import falcon

from falcon_events import EventTracking
from falcon_events.http import mount, visitor_of

CUSTOMERS = 1
PAGE = """<!doctype html>
<html lang="en">
<head><title>Shop</title>
{snippet}
</head>
<body><h1>Shop</h1><button onclick="oct.eventT('looked closer', {{article: 'lamp'}})">A lamp</button></body>
</html>
"""

tracking = EventTracking("events.duckdb")
tracking.directory.ensure_list(CUSTOMERS, "Customers", account="shop")


class Shop:
    """The shop's page."""

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Return the page, which tracks its own views."""
        resp.content_type = falcon.MEDIA_HTML
        resp.text = PAGE.format(snippet=tracking.snippet(CUSTOMERS, url="/tracking"))


class Orders:
    """Orders; the conversion is on disk before the answer is sent, or logged if it cannot be stored: the order counts."""

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Store a conversion for the order."""
        order = req.get_media()
        number = str(uuid.uuid4())
        conversion = {"conversion-id": number, "conversion-name": "purchase", "conversion-value": order["value"]}
        tracking.track(
            CUSTOMERS,
            "conversion",
            email=order["email"],
            uuid=visitor_of(req),
            properties=conversion,
            event_id=number,
            on_error="log",
        )
        resp.status = falcon.HTTP_201
        resp.media = {"order": number}


class Properties:
    """The properties that the shop has tracked."""

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Return the property names of the list, by event type."""
        resp.media = tracking.properties(CUSTOMERS)


app = falcon.App()
app.add_route("/", Shop())
app.add_route("/orders", Orders())
app.add_route("/properties", Properties())
mount(app, tracking, prefix="/tracking")
