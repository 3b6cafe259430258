"""Connections to one server with one key, on httpx. Each request gets a reply or the reason why there is none."""

from __future__ import annotations

import asyncio
import encodings.idna  # noqa: F401  imported here, as httpcore is, because a fork during a later import copies a held lock
import math
import threading
from typing import Any

import httpcore  # noqa: F401
import httpx

from falcon_events._version import __version__
from falcon_events.client.options import check_key, check_url
from falcon_events.client.replies import ServerReply
from falcon_events.client.retries import Request
from falcon_events.errors import NoAnswer
from falcon_events.runtime.lifecycle import fork_lock

NEVER_REACHED = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError, httpx.UnsupportedProtocol)


class _BaseConnection:
    """The address and headers of requests.

    Args:
        url: the server's address, with the prefix that the API is mounted under.
        api_key: the key.
        timeout_s: how long a connection, a read or a write may take, in seconds.
    """

    def __init__(self, url: str, api_key: str, timeout_s: float) -> None:
        self._url = check_url(url)
        self._timeout_s = timeout_s
        self._headers = {
            "Authorization": f"Bearer {check_key(api_key)}",
            "Content-Type": "application/json",
            "User-Agent": f"falcon-events/{__version__}",
        }

    def _build_arguments(self, request: Request, within_s: float = math.inf) -> dict[str, Any]:
        headers = {"Content-Encoding": request.encoding} if request.encoding else {}
        return {
            "url": self._url + request.path,
            "content": request.body,
            "headers": headers,
            "timeout": httpx.Timeout(min(self._timeout_s, within_s), read=min(max(self._timeout_s, request.answer_s), within_s)),
        }

    def _describe_failure(self, error: Exception) -> NoAnswer:
        words = str(error) or type(error).__name__
        return NoAnswer(f"{self._url} does not answer: {words}", reached=not isinstance(error, NEVER_REACHED))

    def _describe_setup_failure(self, error: Exception) -> NoAnswer:
        """Describe a failure of the environment, such as a proxy that needs another package, or missing certificates."""
        return NoAnswer(f"No request to {self._url} can be sent: {type(error).__name__}: {error}", reached=False)


class Connection(_BaseConnection):
    """A connection for any number of threads."""

    def __init__(self, url: str, api_key: str, timeout_s: float) -> None:
        super().__init__(url, api_key, timeout_s)
        self._inherited: list[httpx.Client] = []
        self._http: httpx.Client | None = None
        self._starting = threading.Lock()
        self.closed = threading.Event()

    def ask(self, request: Request, within_s: float = math.inf) -> ServerReply | NoAnswer:
        """Send a request and return the reply, or the reason why there is none.

        Args:
            request: the request.
            within_s: how long each step of it may take at most, in seconds.
        """
        try:
            http = self._http or self._start()
        except Exception as error:
            return self._describe_setup_failure(error)
        try:
            response = http.post(**self._build_arguments(request, within_s))
        except Exception as error:  # of any kind: the next try may succeed
            return self._describe_failure(error)
        return ServerReply(response.status_code, dict(response.headers), response.content)

    def reset_after_fork(self) -> None:
        """Leave the parent's connections alone: closing one here might end it in the parent, too."""
        if self._http is not None:
            self._inherited.append(self._http)
        self._http = None
        self._starting = threading.Lock()
        closed, self.closed = self.closed, threading.Event()
        if closed.is_set():
            self.closed.set()

    def close(self) -> None:
        """Close the connections."""
        self.closed.set()
        with self._starting:
            if self._http is not None:
                self._http.close()

    def _start(self) -> httpx.Client:
        with fork_lock, self._starting:  # a fork must not copy a half-done import or a held lock
            if self._http is None:
                self._http = httpx.Client(headers=self._headers, timeout=self._timeout_s)
            return self._http


class AsyncConnection(_BaseConnection):
    """A connection for coroutines of one event loop after the other."""

    def __init__(self, url: str, api_key: str, timeout_s: float) -> None:
        super().__init__(url, api_key, timeout_s)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._http: httpx.AsyncClient | None = None

    async def ask(self, request: Request) -> ServerReply | NoAnswer:
        """Send a request and return the reply, or the reason why there is none."""
        loop = asyncio.get_running_loop()
        try:
            if self._http is None or self._loop is not loop:  # its connections belong to the loop that made them
                self._loop, self._http = loop, httpx.AsyncClient(headers=self._headers, timeout=self._timeout_s)
        except Exception as error:
            return self._describe_setup_failure(error)
        try:
            response = await self._http.post(**self._build_arguments(request))
        except Exception as error:
            return self._describe_failure(error)
        return ServerReply(response.status_code, dict(response.headers), response.content)

    def reset_after_fork(self) -> None:
        """Leave the parent's connections alone."""
        self._loop = None

    async def close(self) -> None:
        """Close the connections."""
        if self._http is not None and self._loop is asyncio.get_running_loop():
            await self._http.aclose()
        self._http = None
