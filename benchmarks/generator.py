"""Load generator for machines without wrk: one process on uvloop, requests prepared before the start, no HTTP library."""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from pathlib import Path

import uvloop

from benchmarks.workload import NEW_VISITOR

FIRST_NEW = 500_000_000_000
_NEW = NEW_VISITOR.encode()
_HEAD = "POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"


class Requests:
    """Endless cycle of requests that continues where the server's previous run ended, as do the numbers of new visitors.

    Args:
        bodies: the bodies of the requests.
        port: the port of the server.
        path: the path of the endpoint.
        sent: number of requests that the server received before.
    """

    def __init__(self, bodies: list[bytes], port: int, path: str, sent: int) -> None:
        self._made = [_HEAD.format(path=path, port=port, length=len(body)).encode() + body for body in bodies]
        self._sent = sent

    def next(self) -> bytes:
        """Return the next request."""
        made = self._made[self._sent % len(self._made)]
        self._sent += 1
        return made.replace(_NEW, b"%012d" % (FIRST_NEW + self._sent)) if _NEW in made else made


class Counts:
    """Counts of all connections: microseconds of each answer, and errors by kind."""

    def __init__(self) -> None:
        self.taken_us: list[float] = []
        self.status = self.socket = 0
        self.ended = False

    def percentile(self, share: float) -> int:
        """Return a percentile of the times, which must be sorted."""
        return round(self.taken_us[min(len(self.taken_us) - 1, int(len(self.taken_us) * share))])


class Connection(asyncio.Protocol):
    """Connection that sends a request, waits for its answer, and sends the next."""

    def __init__(self, requests: Requests, counts: Counts) -> None:
        self._requests = requests
        self._counts = counts
        self._answer = b""
        self._began = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the first request."""
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]
        self._send()

    def data_received(self, data: bytes) -> None:
        """Take a part of an answer, usually the whole answer."""
        self._answer += data
        head, found, body = self._answer.partition(b"\r\n\r\n")
        if not found or self._counts.ended:
            return
        _, length_found, rest = head.lower().partition(b"\r\ncontent-length:")
        if not length_found:
            self._counts.socket += 1
            self._transport.abort()
        elif len(body) >= int(rest.partition(b"\r\n")[0]):
            self._counts.taken_us.append((time.perf_counter() - self._began) * 1e6)
            self._counts.status += not head.startswith(b"HTTP/1.1 2")
            self._send()

    def connection_lost(self, error: Exception | None) -> None:
        """Count an error if the run has not ended."""
        self._counts.socket += not self._counts.ended

    def _send(self) -> None:
        self._answer = b""
        self._began = time.perf_counter()
        self._transport.write(self._requests.next())


async def load(requests: Requests, port: int, connections: int, seconds: float) -> dict[str, int]:
    """Keep several connections busy for some seconds, and return the same counts as the script for wrk."""
    counts = Counts()
    loop = asyncio.get_running_loop()
    began = time.perf_counter()
    made = [await loop.create_connection(lambda: Connection(requests, counts), "127.0.0.1", port) for _ in range(connections)]
    await asyncio.sleep(seconds)
    counts.ended = True
    us = (time.perf_counter() - began) * 1e6
    for transport, _ in made:
        transport.abort()
    counts.taken_us.sort()
    answers = len(counts.taken_us)
    times = {name: counts.percentile(share) if answers else 0 for name, share in SHARES.items()}
    return {"requests": answers, "us": round(us), **times, "status": counts.status, "socket": counts.socket, "timeout": 0}


SHARES = {"p50_us": 0.5, "p99_us": 0.99, "p999_us": 0.999}


def main() -> None:
    """Generate the load and print one line."""
    parser = argparse.ArgumentParser(prog="benchmarks.generator", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--path", required=True)
    parser.add_argument("--connections", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("bodies", type=Path)
    parser.add_argument("sent", type=int)
    given = parser.parse_args()
    requests = Requests(given.bodies.read_bytes().splitlines(), given.port, given.path, given.sent)
    print("result", json.dumps(uvloop.run(load(requests, given.port, given.connections, given.seconds))))


if __name__ == "__main__":
    main()
