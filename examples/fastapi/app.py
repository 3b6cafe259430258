"""A FastAPI application that uses its own sessions as credentials and its own table of lists.

README.md beside this file says how to start it and which requests to send.
"""

import secrets
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Cookie, Depends, FastAPI, HTTPException, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse

from falcon_events import Credential, EventTracking, Principal, RequestRefused, Scope
from falcon_events.http import ASGIMiddleware, visitor_of


@dataclass(frozen=True)
class User:
    """A user who may sign in; a real application has its users in a database."""

    name: str
    list_id: int
    page_key: str = field(default_factory=secrets.token_urlsafe)
    """Key in the user's pages: it allows tracking on the user's list, and nothing else."""


USERS = {user.name: user for user in (User("ada", 7), User("grace", 8))}
PAGES = {user.page_key: user for user in USERS.values()}
SESSIONS: dict[str, User] = {}
PAGE = """<!doctype html>
<html lang="en">
<head><title>{name}</title>
{snippet}
</head>
<body><h1>The page of {name}</h1></body>
</html>
"""


class AppAccess:
    """The application's implementation of falcon_events.Access."""

    async def identify(self, credential: Credential) -> Principal | None:
        """Return the user of a session of the application, or the owner of the page that has this key."""
        if credential.kind == "session":
            user = SESSIONS.get(credential.secret)
            return Principal(user.name) if user else None
        owner = PAGES.get(credential.secret)
        return Principal(owner.name, Scope.INGEST) if owner else None

    async def owns_list(self, account: str, list_id: int) -> bool:
        """Return whether the list belongs to the user."""
        return account in USERS and USERS[account].list_id == list_id


tracking = EventTracking("events.duckdb", access=AppAccess())
app = FastAPI()
app.add_middleware(ASGIMiddleware, tracking=tracking, prefix="/tracking")


def signed_in(session: Annotated[str | None, Cookie()] = None) -> User:
    """Check the session for the application's own routes."""
    if session not in SESSIONS:
        raise HTTPException(401)
    return SESSIONS[session]


@app.post("/login")
async def login(user: str, response: Response) -> dict[str, str]:
    """Create a session; a real application asks for a password."""
    if user not in USERS:
        raise HTTPException(401)
    session = secrets.token_urlsafe()
    SESSIONS[session] = USERS[user]
    response.set_cookie("session", session, httponly=True, samesite="lax")
    return {"session": session}


@app.post("/notes", status_code=201)
async def take_note(text: str, user: Annotated[User, Depends(signed_in)], request: Request) -> dict[str, str]:
    """Track on the list of the signed-in user; the session was checked, so tracking needs no credential."""
    tracked = await tracking.atrack(
        user.list_id, "note", email=f"{user.name}@example.com", uuid=visitor_of(request), properties={"length": len(text)}
    )
    return {"event": tracked.event_id}


@app.get("/properties")
async def properties(user: Annotated[User, Depends(signed_in)]) -> dict[str, list[str]]:
    """Return the property names of the user's list, by event type."""
    return await tracking.aproperties(user.list_id)


@app.get("/", response_class=HTMLResponse)
@app.get("/pages/{name}", response_class=HTMLResponse)
async def page(name: str = "ada") -> str:
    """Return a user's page, which tracks its own views with the user's key."""
    if name not in USERS:
        raise HTTPException(404)
    user = USERS[name]
    return PAGE.format(name=name, snippet=tracking.snippet(user.list_id, user.page_key, url="/tracking"))


@app.exception_handler(RequestRefused)
async def refused(request: Request, error: RequestRefused) -> JSONResponse:
    """Turn a refusal by tracking into the application's own answer."""
    return JSONResponse({"detail": str(error)}, error.status)
