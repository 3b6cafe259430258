"""httpx, as this client uses it: one server, one key, answers or the lack of one."""

from __future__ import annotations

import asyncio
import encodings.idna  # noqa: F401  so is httpcore: else a thread's first request imports them, and a fork copies the held lock
import math
import threading
from typing import Any

import httpcore  # noqa: F401
import httpx

from falcon_events._version import __version__
from falcon_events.client.answers import Answer
from falcon_events.client.options import checked_key, checked_url
from falcon_events.client.retries import Send
from falcon_events.errors import NoAnswer
from falcon_events.runtime.lifecycle import unforked

NEVER_REACHED = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError, httpx.UnsupportedProtocol)


class _Address:
    """Where requests go, and with what.

    Args:
        url: the server's address, with the prefix that the API is mounted under.
        api_key: the key.
        timeout_s: how long a connection, a read or a write may take, in seconds.
    """

    def __init__(self, url: str, api_key: str, timeout_s: float) -> None:
        self._url = checked_url(url)
        self._timeout_s = timeout_s
        self._headers = {
            "Authorization": f"Bearer {checked_key(api_key)}",
            "Content-Type": "application/json",
            "User-Agent": f"falcon-events/{__version__}",
        }

    def _arguments(self, send: Send, within_s: float = math.inf) -> dict[str, Any]:
        headers = {"Content-Encoding": send.encoding} if send.encoding else {}
        return {"url": self._url + send.path, "content": send.body, "headers": headers, "timeout": min(self._timeout_s, within_s)}

    def _no_answer(self, error: Exception) -> NoAnswer:
        words = str(error) or type(error).__name__
        return NoAnswer(f"{self._url} does not answer: {words}", reached=not isinstance(error, NEVER_REACHED))

    def _not_asked(self, error: Exception) -> NoAnswer:
        """What the environment is to blame for: a proxy that needs another package, or certificates that are not there."""
        return NoAnswer(f"{self._url} cannot be asked: {type(error).__name__}: {error}", reached=False)


class Connection(_Address):
    """For threads; any number of them."""

    def __init__(self, url: str, api_key: str, timeout_s: float) -> None:
        super().__init__(url, api_key, timeout_s)
        self._inherited: list[httpx.Client] = []
        self._http: httpx.Client | None = None
        self._starting = threading.Lock()
        self.closed = threading.Event()

    def ask(self, send: Send, within_s: float = math.inf) -> Answer | NoAnswer:
        """The answer to a request, or why there is none.

        Args:
            send: the request.
            within_s: how much time there is at most for each step of it, in seconds.
        """
        try:
            http = self._http or self._start()
        except Exception as error:
            return self._not_asked(error)
        try:
            answer = http.post(**self._arguments(send, within_s))
        except Exception as error:  # whatever it is: the next try may succeed
            return self._no_answer(error)
        return Answer(answer.status_code, dict(answer.headers), answer.content)

    def forked(self) -> None:
        """Leaves the parent's connections alone: one that is closed here might end there, too."""
        if self._http is not None:
            self._inherited.append(self._http)
        self._http = None
        self._starting = threading.Lock()
        closed, self.closed = self.closed, threading.Event()
        if closed.is_set():
            self.closed.set()

    def close(self) -> None:
        """Ends the connections."""
        self.closed.set()
        with self._starting:
            if self._http is not None:
                self._http.close()

    def _start(self) -> httpx.Client:
        with unforked, self._starting:  # what this may import or lock is not to be copied half done
            if self._http is None:
                self._http = httpx.Client(headers=self._headers, timeout=self._timeout_s)
            return self._http


class AsyncConnection(_Address):
    """For coroutines, of one event loop after the other."""

    def __init__(self, url: str, api_key: str, timeout_s: float) -> None:
        super().__init__(url, api_key, timeout_s)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._http: httpx.AsyncClient | None = None

    async def ask(self, send: Send) -> Answer | NoAnswer:
        """The answer to a request, or why there is none."""
        loop = asyncio.get_running_loop()
        try:
            if self._http is None or self._loop is not loop:  # its connections belong to the loop that made them
                self._loop, self._http = loop, httpx.AsyncClient(headers=self._headers, timeout=self._timeout_s)
        except Exception as error:
            return self._not_asked(error)
        try:
            answer = await self._http.post(**self._arguments(send))
        except Exception as error:
            return self._no_answer(error)
        return Answer(answer.status_code, dict(answer.headers), answer.content)

    def forked(self) -> None:
        """Leaves the parent's connections alone."""
        self._loop = None

    async def close(self) -> None:
        """Ends the connections."""
        if self._http is not None and self._loop is asyncio.get_running_loop():
            await self._http.aclose()
        self._http = None
