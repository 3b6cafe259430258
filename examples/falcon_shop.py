"""A Falcon shop that tracks its orders.

SHOP_DB=shop.duckdb granian --interface wsgi examples.falcon_shop:app --port 8000
curl -X POST http://127.0.0.1:8000/orders -d '{"email": "ada@example.com", "value": 12.5}'
"""

import os
import uuid

import falcon

from falcon_events import EventTracking
from falcon_events.http import mount

tracking = EventTracking(os.environ.get("SHOP_DB", "shop.duckdb"))
CUSTOMERS = 1


class Orders:
    """Takes an order; the conversion is on disk when the answer leaves."""

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Stores a conversion for the order."""
        order = req.get_media()
        if not any(known.list_id == CUSTOMERS for known in tracking.directory.lists()):
            tracking.directory.create_account("shop")
            tracking.directory.create_list("shop", "Customers", CUSTOMERS)
        number = str(uuid.uuid4())
        conversion = {"conversion-id": number, "conversion-name": "purchase", "conversion-value": order["value"]}
        tracking.track(CUSTOMERS, "conversion", email=order["email"], properties=conversion, event_id=number)
        resp.status = falcon.HTTP_201
        resp.media = {"order": number}


class Properties:
    """What the shop has tracked."""

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """The property names of the list, by event type."""
        resp.media = tracking.properties(CUSTOMERS)


app = falcon.App()
app.req_options.default_media_type = falcon.MEDIA_JSON
app.add_route("/orders", Orders())
app.add_route("/properties", Properties())
mount(app, tracking, prefix="/tracking")
