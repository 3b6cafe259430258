"""A Starlette application whose visitors stay the same from the page view to the download.

README.md beside this file says how to start it and which requests to send.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route

from falcon_events import EventTracking, InvalidRequest
from falcon_events.http import asgi_app, visitor_of

READERS = 1
PAGE = """<!doctype html>
<html lang="en">
<head><title>Papers</title>
{snippet}
</head>
<body><h1>Papers</h1><a href="/papers/engines">On engines</a></body>
</html>
"""

tracking = EventTracking("events.duckdb")


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    """Create the list and the page at the start, and close the tracker at the end; these calls block, so they run in threads."""
    await asyncio.to_thread(tracking.directory.ensure_list, READERS, "Readers", "papers")
    app.state.page = PAGE.format(snippet=await asyncio.to_thread(tracking.snippet, READERS, url="/tracking"))
    yield
    await asyncio.to_thread(tracking.close)


async def page(request: Request) -> Response:
    """Return the page, which tracks its own views."""
    return HTMLResponse(request.app.state.page)


async def paper(request: Request) -> Response:
    """Return a paper; track the download if the visitor has the tracker's cookie. Tracking never keeps anybody from reading."""
    name = request.path_params["name"]
    if visitor := visitor_of(request):
        await tracking.atrack(READERS, "download", uuid=visitor, properties={"paper": name}, on_error="log")
    return PlainTextResponse(f"All about {name}.")


async def subscribe(request: Request) -> Response:
    """Bind the visitor to an address: earlier events of the same UUID then belong to that reader."""
    form = await request.json()
    tracked = await tracking.atrack(READERS, "identify", uuid=visitor_of(request), email=form.get("email"))
    return JSONResponse({"reader": tracked.uuid, "new": tracked.identify_event_sent}, 201)


async def properties(request: Request) -> Response:
    """Return the property names of the list, by event type."""
    return JSONResponse(await tracking.aproperties(READERS))


async def refused(request: Request, error: Exception) -> Response:
    """Turn a refusal by tracking into the application's own answer."""
    return JSONResponse({"error": str(error)}, 422)


app = Starlette(
    routes=[
        Route("/", page),
        Route("/papers/{name}", paper),
        Route("/readers", subscribe, methods=["POST"]),
        Route("/properties", properties),
        Mount("/tracking", asgi_app(tracking)),
    ],
    exception_handlers={InvalidRequest: refused},
    lifespan=lifespan,
)
