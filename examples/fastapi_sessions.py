"""A FastAPI application whose own sessions are the credential, and whose own table says who owns which list.

    SESSIONS_DB=sessions.duckdb uvicorn examples.fastapi_sessions:app --port 8000
    curl -X POST http://127.0.0.1:8000/login?user=ada
    curl -X POST http://127.0.0.1:8000/tracking/api/v1/event \
        -d '{"SessionID": "...", "ListID": 7, "event": "test", "email": "ada@example.com"}'
"""

import os
import secrets

from fastapi import FastAPI

from falcon_events import Credential, EventTracking, Principal
from falcon_events.http import asgi_app

SESSIONS: dict[str, str] = {}
LISTS = {"ada": {7}, "grace": {8}}


class AppAccess:
    """The application's answers to the two questions of falcon_events.Access."""

    async def identify(self, credential: Credential) -> Principal | None:
        """The user of one of the application's sessions; it knows no API keys."""
        user = SESSIONS.get(credential.secret) if credential.kind == "session" else None
        return Principal(user) if user else None

    async def owns_list(self, account: str, list_id: int) -> bool:
        """Whether the list is the user's."""
        return list_id in LISTS.get(account, set())


app = FastAPI()
app.mount("/tracking", asgi_app(EventTracking(os.environ.get("SESSIONS_DB", "sessions.duckdb"), access=AppAccess())))


@app.post("/login")
async def login(user: str) -> dict[str, str]:
    """Gives out a session of the application's own."""
    session = secrets.token_urlsafe()
    SESSIONS[session] = user
    return {"session": session}
