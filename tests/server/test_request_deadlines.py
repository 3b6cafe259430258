"""The standalone server's bounds on how long a request may take to arrive."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import uvicorn

from falcon_events.server import uvicorn_protocol
from tests.harness import wait_until

WHOLE = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"


async def answer(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """204 to everything, once the request is there."""
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})


@contextlib.contextmanager
def listening() -> Iterator[int]:
    """A server with the protocol, on a port of its own."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        options = {"http": uvicorn_protocol.BoundedProtocol, "lifespan": "off", "log_config": None, "timeout_keep_alive": 60}
        server = uvicorn.Server(uvicorn.Config(answer, **options))  # type: ignore[arg-type]
        thread = threading.Thread(target=lambda: asyncio.run(server.serve([listener])))
        thread.start()
        wait_until(lambda: server.started, "the server does not start")
        yield int(listener.getsockname()[1])
        server.should_exit = True
        thread.join()


@pytest.mark.parametrize("sent", [b"", WHOLE[:20], WHOLE[:-1], WHOLE + WHOLE[:9], WHOLE + WHOLE[:-1]])
def test_a_request_that_does_not_come_to_its_end_ends_its_connection(monkeypatch: pytest.MonkeyPatch, sent: bytes) -> None:
    """From the connection's start, or the request's first byte, wherever the sender stops; what went before is answered."""
    monkeypatch.setattr(uvicorn_protocol, "ARRIVAL_S", 0.5)
    monkeypatch.setattr(uvicorn_protocol, "REPLY_S", 0.5)
    with listening() as port, socket.create_connection(("127.0.0.1", port), 30) as client:
        client.sendall(sent)
        received = b""
        with contextlib.suppress(ConnectionResetError):
            while read := client.recv(1000):
                received += read
        assert received.count(b"HTTP/1.1 204") == sent.count(WHOLE)


def test_a_connection_may_rest_between_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bound is for a request that has begun; an idle connection is the server's keep-alive's."""
    monkeypatch.setattr(uvicorn_protocol, "ARRIVAL_S", 0.2)
    monkeypatch.setattr(uvicorn_protocol, "REPLY_S", 0.2)
    with listening() as port, socket.create_connection(("127.0.0.1", port), 30) as client:
        for _ in range(2):
            client.sendall(WHOLE)
            assert client.recv(1000).startswith(b"HTTP/1.1 204")
            client.settimeout(0.6)
            with pytest.raises(TimeoutError):
                client.recv(1)
            client.settimeout(30)
