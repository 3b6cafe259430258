"""A FastAPI application whose own sessions are the credential, and whose own table says who owns which list.

README.md beside this file says how to start it and what to send.
"""

import secrets
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Cookie, Depends, FastAPI, HTTPException, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse

from falcon_events import Credential, EventTracking, Principal, RequestRefused, Scope
from falcon_events.http import ASGIMiddleware


@dataclass(frozen=True)
class User:
    """Somebody who may sign in; a real application has them in its database."""

    name: str
    list_id: int
    page_key: str = field(default_factory=secrets.token_urlsafe)
    """What stands in the user's pages: it allows to track on the user's list, and nothing else."""


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
    """The application's answers to the two questions of falcon_events.Access."""

    async def identify(self, credential: Credential) -> Principal | None:
        """Who has one of the application's sessions, or whose page it is."""
        if credential.kind == "session":
            user = SESSIONS.get(credential.secret)
            return Principal(user.name) if user else None
        owner = PAGES.get(credential.secret)
        return Principal(owner.name, Scope.INGEST) if owner else None

    async def owns_list(self, account: str, list_id: int) -> bool:
        """Whether the list is the user's."""
        return account in USERS and USERS[account].list_id == list_id


tracking = EventTracking("events.duckdb", access=AppAccess())
app = FastAPI()
app.add_middleware(ASGIMiddleware, tracking=tracking, prefix="/tracking")


def signed_in(session: Annotated[str | None, Cookie()] = None) -> User:
    """The application's own session check, as its own routes use it."""
    if session not in SESSIONS:
        raise HTTPException(401)
    return SESSIONS[session]


@app.post("/login")
async def login(user: str, response: Response) -> dict[str, str]:
    """Gives out a session of the application's own; a real one asks for a password."""
    if user not in USERS:
        raise HTTPException(401)
    session = secrets.token_urlsafe()
    SESSIONS[session] = USERS[user]
    response.set_cookie("session", session, httponly=True, samesite="lax")
    return {"session": session}


@app.post("/notes", status_code=201)
async def take_note(text: str, user: Annotated[User, Depends(signed_in)]) -> dict[str, str]:
    """Tracks on the list of whoever is signed in; that was checked, so no credential is needed."""
    tracked = await tracking.atrack(user.list_id, "note", email=f"{user.name}@example.com", properties={"length": len(text)})
    return {"event": tracked.event_id}


@app.get("/properties")
async def properties(user: Annotated[User, Depends(signed_in)]) -> dict[str, list[str]]:
    """The property names of the user's list, by event type."""
    return await tracking.aproperties(user.list_id)


@app.get("/", response_class=HTMLResponse)
@app.get("/pages/{name}", response_class=HTMLResponse)
async def page(name: str = "ada") -> str:
    """A user's page, which tracks its views by itself, with the user's key."""
    if name not in USERS:
        raise HTTPException(404)
    user = USERS[name]
    return PAGE.format(name=name, snippet=tracking.snippet(user.list_id, user.page_key, url="/tracking"))


@app.exception_handler(RequestRefused)
async def refused(request: Request, error: RequestRefused) -> JSONResponse:
    """The application's own words for what tracking refuses."""
    return JSONResponse({"detail": str(error)}, error.status)
