"""A receiver of webhooks: a real HTTP server that keeps what was posted to it, and answers as a test wants it."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import msgspec
from standardwebhooks import Webhook

from tests.harness import free_port, wait_until


@dataclass(frozen=True)
class Post:
    """A request that has come, and how it was answered."""

    headers: dict[str, str]
    body: bytes
    status: int

    @property
    def id(self) -> str:
        """Of the event."""
        return self.headers["webhook-id"]

    @cached_property
    def data(self) -> dict[str, Any]:
        """The event."""
        data: dict[str, Any] = msgspec.json.decode(self.body)["data"]
        return data

    def verified(self, secret: str) -> Any:
        """What the library reads of it; raises WebhookVerificationError where the signature is not ours."""
        return Webhook(secret).verify(self.body, self.headers)


Answer = Callable[[Post], int | tuple[int, dict[str, str]]]


class Receiver:
    """Takes posts on a port of its own.

    Args:
        answer: the status, or status and headers, of the answer to a post; it may take its time.
        port: the port; a free one where it is None.
    """

    def __init__(self, answer: Answer = lambda post: 204, port: int | None = None) -> None:
        self.answer = answer
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}/hook"
        self.posts: list[Post] = []
        self._connections: set[Any] = set()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                super().setup()
                receiver._connections.add(self.connection)

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                answered = receiver.answer(Post(headers, body, 0))
                status, more = answered if isinstance(answered, tuple) else (answered, {})
                receiver.posts.append(Post(headers, body, status))
                self.send_response(status)
                for name, value in more.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def handle_one_request(self) -> None:
                with contextlib.suppress(OSError):
                    super().handle_one_request()
                    return
                self.close_connection = True

            def log_message(self, *_: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            block_on_close = False

            def handle_error(self, *_: object) -> None:
                pass  # of a connection that stop() or an owner's end has cut off

        self._server = Server(("127.0.0.1", self.port), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Goes down, and cuts every connection off."""
        self._server.shutdown()
        self._server.server_close()
        for connection in list(self._connections):
            with contextlib.suppress(OSError):
                connection.close()
        self._thread.join()

    @property
    def taken(self) -> list[Post]:
        """The posts that were answered with success, in order."""
        return [post for post in list(self.posts) if post.status < 300]

    def wait_for(self, count: int, seconds: float = 240) -> list[Post]:
        """The posts that were answered with success, once there are so many different events."""
        wait_until(
            lambda: len({post.id for post in self.taken}) >= count,
            f"{count} events are expected, and there are fewer",
            seconds=seconds,
        )
        return self.taken


@contextlib.contextmanager
def receiving(answer: Answer = lambda post: 204, port: int | None = None) -> Iterator[Receiver]:
    """A receiver, until the end of the block."""
    receiver = Receiver(answer, port)
    try:
        yield receiver
    finally:
        receiver.stop()
