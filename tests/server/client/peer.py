"""A peer between client and server that can be broken in every way that a network has."""

from __future__ import annotations

import contextlib
import functools
import gzip
import http.server
import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx

PASSED_ON = ("authorization", "content-type", "content-encoding", "user-agent")


class Peer:
    """Passes requests on to a server, unless it is told to do something else with the next ones.

    Args:
        server: the server's URL.
    """

    def __init__(self, server: str) -> None:
        self.server = server
        self.tricks: list[Trick] = []
        """Each is used up by one request; it says whether the request is passed on after all."""
        self.always: Trick | None = None
        """What is done with every request that no trick is left for."""
        self.requests: list[Received] = []
        self.asked = threading.Event()
        """Set by the first request."""
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Request, self))
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def close(self) -> None:
        """Is there no more."""
        self._server.shutdown()
        self._server.server_close()

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


@dataclass
class Received:
    """A request as it came."""

    headers: Any
    body: bytes
    at: float

    def json(self) -> Any:
        """Its body."""
        return json.loads(gzip.decompress(self.body) if self.headers["Content-Encoding"] == "gzip" else self.body)


class Request(http.server.BaseHTTPRequestHandler):
    """A connection of the client, and its present request."""

    protocol_version = "HTTP/1.1"

    def __init__(self, peer: Peer, *arguments: Any) -> None:
        self._peer = peer
        super().__init__(*arguments)

    def do_POST(self) -> None:
        """Plays a trick, or passes on."""
        self.body = self.rfile.read(int(self.headers["Content-Length"]))
        self._peer.requests.append(Received(self.headers, self.body, time.monotonic()))
        self._peer.asked.set()
        trick = self._peer.tricks.pop(0) if self._peer.tricks else self._peer.always
        if trick is None or trick(self):
            self.give(self.passed_on())

    def passed_on(self) -> httpx.Response:
        """The server's answer."""
        headers = {name: value for name, value in self.headers.items() if name.lower() in PASSED_ON}
        return httpx.post(self._peer.server + self.path, content=self.body, headers=headers, timeout=30)

    def give(self, answer: httpx.Response) -> None:
        """Gives an answer to the client, if it is still there."""
        with contextlib.suppress(ConnectionError):
            self.send_response(answer.status_code)
            for name, value in answer.headers.items():
                if name.lower() not in ("connection", "transfer-encoding", "content-length"):
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer.content)))
            self.end_headers()
            self.wfile.write(answer.content)

    def log_message(self, *arguments: Any) -> None:
        """Says nothing."""


Trick = Callable[[Request], bool]


def answering(status: int, body: bytes | Any = b"", **headers: str) -> Trick:
    """Answers so, whatever is asked."""

    def trick(request: Request) -> bool:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        request.give(httpx.Response(status, headers=named, content=content))
        return False

    return trick


def lose_answer(request: Request) -> bool:
    """The request is stored, and the connection breaks before the client knows."""
    request.passed_on()
    request.close_connection = True
    return False


def lose_request(request: Request) -> bool:
    """The connection breaks before the server knows."""
    request.close_connection = True
    return False


def cut_answer(request: Request) -> bool:
    """The request is stored, and the answer breaks off in its middle."""
    answer = request.passed_on()
    request.send_response(200)
    request.send_header("Content-Length", str(len(answer.content) + 10))
    request.end_headers()
    request.wfile.write(answer.content[: len(answer.content) // 2])
    request.close_connection = True
    return False


def no_http(request: Request) -> bool:
    """Something that is not HTTP."""
    request.wfile.write(b"\x00\xff" * 100)
    request.close_connection = True
    return False


def never(request: Request) -> bool:
    """No answer for longer than the client waits."""
    time.sleep(1.5)
    request.close_connection = True
    return False
