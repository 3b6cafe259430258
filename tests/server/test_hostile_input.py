"""Hostile and broken input, over raw sockets: what is refused and how, what is stored, and that nobody else is hurt."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple
from wsgiref.simple_server import make_server

import duckdb
import falcon
import httpx
import pytest

from falcon_events import EventTracking
from falcon_events.http import WSGIMiddleware, mount, wsgi_app
from tests.conftest import Api
from tests.harness import EVENT, PROPERTIES, Credentials, free_port, rows, running, unmeasured_environment
from tests.server.test_mounting import hosting
from tests.shortcuts import command, make_store

MIB = 1 << 20
UNREADABLE = [100000]


class Answer(NamedTuple):
    """An HTTP answer, as it came over the wire."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def codes(self) -> list[int]:
        """The codes of a failure, which must have the documented shape."""
        assert self.headers["content-type"] == "application/json"
        errors = json.loads(self.body)
        assert list(errors) == ["Errors"]
        assert all(list(error) == ["Code", "Message"] for error in errors["Errors"])
        return [error["Code"] for error in errors["Errors"]]


class Wire:
    """One connection, on which a test writes what it likes."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), 60)
        self._received = self._socket.makefile("rb")

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *error: object) -> None:
        self._received.close()
        self._socket.close()

    def send(self, *parts: bytes) -> Wire:
        """Writes."""
        self._socket.sendall(b"".join(parts))
        return self

    def end(self) -> Wire:
        """Says that nothing more will be written."""
        with contextlib.suppress(OSError):  # the server was quicker
            self._socket.shutdown(socket.SHUT_WR)
        return self

    def reset(self) -> None:
        """Breaks the connection off, without the usual farewell."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._received.close()
        self._socket.close()

    def answer(self, *, bodiless: bool = False) -> Answer | None:
        """The next answer, or None where the server has closed the connection instead."""
        try:
            line = self._received.readline()
        except ConnectionResetError:
            return None
        if not line:
            return None
        headers: dict[str, str] = {}
        while field := self._received.readline().strip():
            name, _, value = field.decode().partition(":")
            headers[name.lower()] = value.strip()
        length = 0 if bodiless else int(headers.get("content-length", 0))
        return Answer(int(line.split()[1]), headers, self._received.read(length))


def head(*lines: str, request: str = f"POST {EVENT}") -> bytes:
    """A request's head."""
    return "\r\n".join((f"{request} HTTP/1.1", "Host: x", *lines, "", "")).encode("latin-1")


def whole(body: bytes, *lines: str, request: str = f"POST {EVENT}") -> bytes:
    """A request with its body."""
    return head(f"Content-Length: {len(body)}", *lines, request=request) + body


def chunked(*chunks: bytes) -> bytes:
    """A chunked body."""
    return b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in (*chunks, b""))


def ask(port: int, *parts: bytes) -> Answer:
    """The answer to what is written on a connection of its own."""
    with Wire(port) as wire:
        answer = wire.send(*parts).answer()
    assert answer is not None
    return answer


def event(credentials: Credentials, **changes: Any) -> bytes:
    """A good body."""
    return json.dumps(credentials.event(**changes)).encode()


def with_properties(credentials: Credentials, properties: bytes, **changes: Any) -> bytes:
    """A body with these bytes as its properties."""
    return event(credentials, **changes, properties="HERE").replace(b'"HERE"', properties)


def assert_alive(api: Api) -> None:
    """The server still answers the others."""
    assert api.client.track(**api.credentials.event()).status_code == 200


@pytest.fixture
def port(api: Api) -> int:
    """Where the shared server listens."""
    return api.served.port


def test_a_body_that_ends_early_is_refused(api: Api, port: int) -> None:
    """Shorter than its Content-Length: 400, or the connection is closed; it is never taken for the whole."""
    body = event(api.credentials, event="early")
    with Wire(port) as wire:
        answer = wire.send(head(f"Content-Length: {len(body) + 1}"), body).end().answer()
    assert answer is None or answer.codes == UNREADABLE
    assert "early" not in api.client.properties(APIKey=api.credentials.read, ListID=94).json()["Properties"]


def test_a_chunked_body_is_read_to_its_end(api: Api, port: int) -> None:
    """However it is cut, also within a character, a chunked body is the same body."""
    body = event(api.credentials, properties={"näme": "ü" * 50})
    for size in (1, 7, 5000):
        pieces = [body[at : at + size] for at in range(0, len(body), size)]
        assert ask(port, head("Transfer-Encoding: chunked"), chunked(*pieces)).status == 200


def test_a_chunk_that_is_none_is_refused(api: Api, port: int) -> None:
    """A size that is no number, or JSON cut off within a chunk: 400 or a closed connection, and nothing is stored."""
    body = event(api.credentials, event="chunk")
    for broken in (b"zz\r\n" + body, b"%x\r\n" % len(body) + body[:-1]):
        with Wire(port) as wire:
            answer = wire.send(head("Transfer-Encoding: chunked"), broken).end().answer()
        assert answer is None or answer.status == 400
    assert "chunk" not in api.client.properties(APIKey=api.credentials.read, ListID=94).json()["Properties"]
    assert_alive(api)


@pytest.mark.parametrize("length", [MIB + 1, 10**12, 2**63 - 1])
def test_a_body_over_the_limit_is_refused_by_its_length(port: int, length: int) -> None:
    """413 once the length is known; the server does not wait for the rest."""
    answer = ask(port, head(f"Content-Length: {length}"), b"{")
    assert (answer.status, answer.codes) == (413, [413])


def test_a_chunked_body_over_the_limit_is_refused_before_its_end(port: int) -> None:
    """413 as soon as more than the limit has come, though the last chunk never comes."""
    piece = b"10000\r\n" + b" " * 65536 + b"\r\n"
    answer = ask(port, head("Transfer-Encoding: chunked"), piece * 17)
    assert (answer.status, answer.codes) == (413, [413])


def test_a_body_of_exactly_the_limit_is_read(api: Api, port: int) -> None:
    """1 MiB is accepted, whole or chunked; one byte more is not."""
    body = event(api.credentials, properties={"a": ""})
    full = body.replace(b'"a": ""', b'"a": "%b"' % (b"x" * (MIB - len(body))))
    assert len(full) == MIB
    assert ask(port, whole(full)).status == 200
    assert ask(port, head("Transfer-Encoding: chunked"), chunked(full[:1000], full[1000:])).status == 200
    assert ask(port, whole(full + b" ")).status == 413


def test_after_a_body_over_the_limit_a_client_knows_whether_the_connection_is_left(api: Api, port: int) -> None:
    """Where the server closes it the answer says so: a client's next request does not run into a closed connection."""
    with httpx.Client(base_url=api.url, timeout=60) as client:
        for _ in range(10):
            assert client.post(EVENT, content=b" " * (MIB + 1)).status_code == 413
            assert client.get("/healthz").status_code == 200


@pytest.mark.parametrize(("depth", "status"), [(64, 200), (65, 400), (1000, 400), (100_000, 400)], ids=lambda value: str(value))
@pytest.mark.parametrize("brackets", [(b"[", b"]"), (b'{"a":', b"}")], ids=["arrays", "objects"])
def test_nesting_ends_at_64_levels(api: Api, port: int, brackets: tuple[bytes, bytes], depth: int, status: int) -> None:
    """The body and its properties are two of them; any depth beyond is refused, not a crash."""
    opening, closing = brackets
    nested = b'{"a":' + opening * (depth - 2) + b"1" + closing * (depth - 2) + b"}"
    answer = ask(port, whole(with_properties(api.credentials, nested)))
    assert answer.status == status
    assert status == 200 or answer.codes == UNREADABLE
    assert ask(port, whole(opening * depth)).codes == UNREADABLE
    assert_alive(api)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        "{}".encode("utf-16"),
        b'{"event": "\xff"}',
        b'{"event": "\xed\xa0\x80"}',
        b'{"event": "\xc0\xaf"}',
        b'{"event": "\xf4\x90\x80\x80"}',
        b'{"event": "a\x00b"}',
        b'{"event": "a\nb"}',
        b"{'event': 'a'}",
        b'{"event": "a",}',
        b'{"event": NaN}',
        b'{"event": Infinity}',
        b'{"event": 01}',
        b'{"event": 1.}',
        b"{} {}",
        b"null",
        b'"text"',
        b"[{}]",
        b"ListID=94&event=test",
        b"\x1f\x8b\x08\x00",
    ],
)
def test_what_is_no_json_object_in_utf_8_is_unreadable(port: int, body: bytes) -> None:
    """400 with 100000: other encodings, a byte order mark, bytes that are no characters, and almost-JSON."""
    answer = ask(port, whole(body))
    assert (answer.status, answer.codes) == (400, UNREADABLE)


@pytest.mark.parametrize(
    "properties",
    [
        rb'{"a": "\u12"}',
        b'{"a": "\xed\xa0\xbd"}',
        b'{"a": ' + b"9" * 4301 + b"}",
        rb'{"a": 1e400}',
        rb'{"a": -1e400}',
        rb'{"a": [1, {"b": 1E+999}]}',
    ],
)
def test_what_no_string_or_number_can_hold_is_unreadable(api: Api, port: int, properties: bytes) -> None:
    """Half an escape, surrogates as bytes, and numbers beyond a double or of thousands of digits: 400 with 100000."""
    answer = ask(port, whole(with_properties(api.credentials, properties)))
    assert (answer.status, answer.codes) == (400, UNREADABLE)


@pytest.mark.parametrize(
    ("name", "codes"),
    [("event", []), ("email", [7]), ("id", []), ("APIKey", [99998]), ("UUID", [14]), ("Timestamp", [15]), ("EventID", [16])],
)
def test_half_a_surrogate_pair_in_any_parameter_is_read_as_a_replacement_character(
    api: Api, port: int, name: str, codes: list[int]
) -> None:
    """As browsers send a character that was cut in two. The rules of the parameter decide about the rest."""
    body = event(api.credentials, **{name: "HERE"}).replace(b"HERE", rb"\ud800")
    answer = ask(port, whole(body))
    assert (answer.status == 200) == (not codes)
    assert not codes or answer.codes == codes
    assert_alive(api)


def test_half_a_surrogate_pair_is_stored_as_a_replacement_character(api: Api, port: int) -> None:
    """In names and values at any depth; whole pairs and escaped backslashes beside it stay as they are."""
    sent = rb'{"a": "cut \ud83d", "\udc00": 1, "b": ["\udc00\ud800", {"\udfff": "\\ud83d"}], "c": "\ud83d\ud83d\ude00\ude00"}'
    assert ask(port, whole(with_properties(api.credentials, sent, event="cut in two"))).status == 200
    ((text,),) = shared(api, "select properties::varchar from events where event = 'cut in two'")
    assert json.loads(text) == {
        "a": "cut \ufffd",
        "\ufffd": 1,
        "b": ["\ufffd\ufffd", {"\ufffd": "\\ud83d"}],
        "c": "\ufffd\U0001f600\ufffd",
    }


def test_refused_events_break_nobody_elses_batch(api: Api, port: int) -> None:
    """Among many at once, every good event is stored and every bad one is refused."""
    poison = (rb'{"a": "\ud80"}', b'{"a": NaN}', b'{"a": 1e400}', b"[" * 50_000, b'{"a": "\xff"}')

    def send(number: int) -> tuple[int, int]:
        properties = poison[number % 10 // 2] if number % 2 else b'{"a": "\\u0000", "\\u0000": 18446744073709551616}'
        return number % 2, ask(port, whole(with_properties(api.credentials, properties, event="beside"))).status

    with ThreadPoolExecutor(16) as threads:
        statuses = list(threads.map(send, range(300)))
    assert set(statuses) == {(0, 200), (1, 400)}


STORED = {
    "names": b'{"": 1, " ": 2, "a.b": 3, "$.x": 4, "a\\u0000b": 5, "\\u0000": 6, "\\"": 7, "\\\\": 8, "\\ud83d\\ude00": 9}',
    "odd text": b'{"a": "\\u0000", "b": "x\\u0000y", "c": "\\ud83d\\ude00", "d": "\\uffff\\ufffe", "e": "\xc3\xa9"}',
    "integers": b'{"a": 9223372036854775807, "b": -9223372036854775808, "c": 18446744073709551615, "d": 9007199254740993}',
    "doubles": b'{"a": 0.1, "b": 1e308, "c": 5e-324, "d": -0.0, "e": 1E5, "f": 290.50, "g": 1.7976931348623157e308}',
    "kinds": b'{"a": null, "b": true, "c": false, "d": [], "e": {}, "f": [null, [1, "x", {"y": []}]], "g": ""}',
    "looks like SQL": b'{"\'; drop table events; --": "\'; drop table events; --", "$rows": "?"}',
    "many": json.dumps({f"name {i}": i for i in range(1000)}).encode(),
    "white space": b' {\t"a"\r\n:\n1 } ',
}


def test_what_is_accepted_comes_back_out_as_it_was_sent(api: Api, port: int) -> None:
    """Names, text with every character, numbers and nesting: the store has the same value, and the names are listed."""
    for name, properties in STORED.items():
        assert ask(port, whole(with_properties(api.credentials, properties, event=name))).status == 200
    listed = api.client.properties(APIKey=api.credentials.read, ListID=94).json()["Properties"]
    stored = dict(map(tuple, shared(api, "select event, properties::varchar from events")))
    for name, properties in STORED.items():
        assert listed[name] == sorted(json.loads(properties))
        assert exact(stored[name]) == exact(properties)


def test_numbers_beyond_64_bits_are_kept_as_doubles(api: Api, port: int) -> None:
    """Accepted, and as near to what was sent as a double is."""
    sent = {"a": 2**64, "b": -(2**63) - 1, "c": 10**300, "d": 1.00000000000000000000001, "e": 1e-400}
    properties = json.dumps(sent | {"e": "TINY"}).replace('"TINY"', "1e-400").encode()
    assert ask(port, whole(with_properties(api.credentials, properties, event="beyond 64 bits"))).status == 200
    ((text,),) = shared(api, "select properties::varchar from events where event = 'beyond 64 bits'")
    assert {name: float(value) for name, value in json.loads(text).items()} == {n: float(value) for n, value in sent.items()}


def test_of_two_members_of_one_name_the_last_counts(api: Api, port: int) -> None:
    """Among properties, at any depth, and among parameters, whatever their case; each name is listed once."""
    twice = b'{"a": 1, "A": 2, "a": {"b": 1, "b": 2}}'
    body = with_properties(api.credentials, twice, event="first of two")[:-1] + b', "EVENT": "second of two"}'
    assert ask(port, whole(body)).status == 200
    listed = api.client.properties(APIKey=api.credentials.read, ListID=94).json()["Properties"]
    assert listed["second of two"] == ["A", "a"]
    ((text,),) = shared(api, "select properties::varchar from events where event = 'second of two'")
    assert json.loads(text, object_pairs_hook=lambda pairs: pairs) == [("a", [("b", 2)]), ("A", 2)]


def shared(api: Api, sql: str) -> list[list[Any]]:
    """What the shared server's store has."""
    assert api.served.db is not None
    with EventTracking(api.served.db) as tracking:
        return tracking.sql(sql).rows


def exact(text: str | bytes) -> str:
    """JSON in a form that tells 1 from 1.0 and 0.0 from -0.0, but not the order of members."""
    return repr(json.loads(text, object_pairs_hook=lambda pairs: dict(sorted(pairs))))


@pytest.mark.parametrize("farewell", ["end", "reset"])
def test_a_client_that_leaves_in_the_middle_of_its_body_harms_nobody(api: Api, port: int, farewell: str) -> None:
    """Nothing of it is stored and the server goes on."""
    body = event(api.credentials, event=f"left {farewell}")
    for sent in (0, 1, len(body) - 1):
        for start in (head(f"Content-Length: {len(body)}"), head("Transfer-Encoding: chunked") + b"%x\r\n" % len(body)):
            with Wire(port) as wire:
                wire.send(start, body[:sent])
                if farewell == "reset":
                    wire.reset()
    assert_alive(api)
    assert f"left {farewell}" not in api.client.properties(APIKey=api.credentials.read, ListID=94).json()["Properties"]


@pytest.mark.parametrize("farewell", ["close", "reset"])
def test_a_client_that_does_not_wait_for_its_answer_harms_nobody(api: Api, port: int, farewell: str) -> None:
    """Its event is stored once or not at all; sent again under its EventID, it is stored once; the server goes on."""
    name, event_ids = f"not waited for, {farewell}", [str(uuid.uuid4()) for _ in range(60)]
    for event_id in event_ids:
        with Wire(port) as wire:
            wire.send(whole(event(api.credentials, event=name, EventID=event_id)))
            if farewell == "reset":
                wire.reset()
    for event_id in event_ids[::2]:
        assert api.client.track(**api.credentials.event(event=name, EventID=event_id)).status_code == 200
    assert "Traceback" not in api.served.log()
    kept = [event_id for (event_id,) in shared(api, f"select event_id::varchar from events where event = '{name}'")]
    assert len(kept) == len(set(kept))
    assert set(event_ids[::2]) <= set(kept) <= set(event_ids)


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "QUERY"])
@pytest.mark.parametrize(("path", "allowed"), [(EVENT, "POST"), (PROPERTIES, "GET, POST")])
def test_another_method_is_not_allowed(api: Api, port: int, method: str, path: str, allowed: str) -> None:
    """405 with Allow and the documented shape, without a body for HEAD; the connection goes on."""
    if method in allowed:
        return
    with Wire(port) as wire:
        for _ in range(2):
            answer = wire.send(whole(b"", request=f"{method} {path}")).answer(bodiless=method == "HEAD")
            assert answer is not None
            assert (answer.status, answer.headers["allow"]) == (405, allowed)
            assert answer.headers["content-type"] == "application/json"
            assert method == "HEAD" or answer.codes == [405]


@pytest.mark.parametrize("method", ["BREW", "post", "WEBSOCKET"])
def test_a_method_that_nobody_knows_is_refused(api: Api, port: int, method: str) -> None:
    """405 in the documented shape, or 400 where the server itself takes the line for no HTTP."""
    answer = ask(port, whole(b"", request=f"{method} {EVENT}"))
    assert answer.status == 400 or (answer.status, answer.codes, answer.headers["allow"]) == (405, [405], "POST")
    assert_alive(api)


@pytest.mark.parametrize(
    "path",
    ["/api", "/api/v1/event/", "/api/v1/eventx", "/api/v1/event%00", "/%ff", "/../x", "/api/v1/Event", "/" + "x" * 5000],
)
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
def test_a_path_that_does_not_exist_is_not_found(port: int, path: str, method: str) -> None:
    """404 in the documented shape, for every method."""
    answer = ask(port, whole(b"{}", request=f"{method} {path}"))
    assert (answer.status, answer.codes) == (404, [404])


@pytest.mark.parametrize("length", ["abc", "-1", "1e3", "", "0x10", "9" * 40, "3, 4"])
def test_a_content_length_that_is_none_is_refused(api: Api, port: int, length: str) -> None:
    """400 from the server or the application, or a closed connection; never a stored event, never a 500."""
    body = event(api.credentials, event="length")
    with Wire(port) as wire:
        answer = wire.send(head(f"Content-Length: {length}"), body).end().answer()
    assert answer is None or answer.status in (400, 413)
    assert_alive(api)
    assert "length" not in api.client.properties(APIKey=api.credentials.read, ListID=94).json()["Properties"]


@pytest.mark.parametrize("length", ["abc", "-1", "1e3"])
def test_a_server_that_checks_no_content_length_gets_the_documented_shape(
    tracking: EventTracking, credentials: Credentials, length: str
) -> None:
    """400 from the tracker itself, on its own and inside an application that words errors in its own way."""
    for app in (wsgi_app(tracking), WSGIMiddleware(falcon.App(), tracking), mounted(tracking)):
        with make_server("127.0.0.1", 0, app) as server:
            serving_one = threading.Thread(target=server.handle_request)
            serving_one.start()
            answer = ask(server.server_port, head(f"Content-Length: {length}"), event(credentials))
            serving_one.join()
        assert (answer.status, answer.codes) == (400, UNREADABLE)


def mounted(tracking: EventTracking) -> falcon.App[Any, Any]:
    """A Falcon application with an error serializer of its own."""
    app = falcon.App()
    app.set_error_serializer(lambda req, resp, error: setattr(resp, "text", "the host's own"))
    mount(app, tracking)
    return app


def test_two_framings_at_once_smuggle_nothing_in(api: Api, port: int) -> None:
    """A request with both Content-Length and chunks, or two lengths, is at most one request."""
    hidden = whole(event(api.credentials, event="smuggled"))
    for lines in (("Content-Length: 5", "Transfer-Encoding: chunked"), ("Content-Length: 5", "Content-Length: 6")):
        with Wire(port) as wire:
            wire.send(head(*lines), b"0\r\n\r\n", hidden).end()
            while (answer := wire.answer()) is not None:
                assert answer.status in (400, 401)
    assert "smuggled" not in api.client.properties(APIKey=api.credentials.read, ListID=94).json()["Properties"]


def test_requests_after_a_refused_one_are_answered_on_the_same_connection(api: Api, port: int) -> None:
    """Pipelined: each refusal stands in its place, and the requests behind it are read from where they begin."""
    good = whole(event(api.credentials))
    requests: list[tuple[bytes, int]] = [
        (whole(b"{"), 400),
        (good, 200),
        (whole(b"{}"), 401),
        (whole(b"[1]", request=f"PUT {EVENT}"), 405),
        (whole(b"{}", request="POST /nowhere"), 404),
        (head("Transfer-Encoding: chunked") + chunked(b"{", b"}"), 401),
        (whole(event(api.credentials, ListID=0)), 422),
        (whole(event(api.credentials, APIKey=api.credentials.read)), 403),
        (good, 200),
    ]
    with Wire(port) as wire:
        wire.send(*(request for request, _ in requests))
        answers = [wire.answer() for _ in requests]
    assert [answer and answer.status for answer in answers] == [status for _, status in requests]


def test_a_client_that_asks_before_it_sends_is_told_to_go_on(api: Api, port: int) -> None:
    """Expect: 100-continue gets 100, then the answer; where the body would be too large, 413 without reading it."""
    body = event(api.credentials)
    with Wire(port) as wire:
        go_on = wire.send(head("Expect: 100-continue", f"Content-Length: {len(body)}")).answer()
        assert go_on is not None
        assert go_on.status == 100
        answer = wire.send(body).answer()
        assert answer is not None
        assert answer.status == 200
    with Wire(port) as wire:
        answer = wire.send(head("Expect: 100-continue", f"Content-Length: {10 * MIB}")).answer()
        if answer is not None and answer.status == 100:
            answer = wire.send(b"{").answer()
        assert answer is not None
        assert answer.codes == [413]


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("ListID=94", 200),
        ("listid=94&x=%ff%00&&=&;", 200),
        ("ListID=1&LISTID=94", 200),
        ("ListID=94&ListID=95", 200),
        ("", 422),
        ("ListID", 422),
        ("ListID=", 422),
        ("ListID=%39%34", 200),
        ("ListID=94%00", 422),
        ("ListID=+94", 422),
        ("ListID=94,95", 422),
        ("ListID[]=94", 422),
        ("ListID=" + "9" * 5000, 422),
        ("%zz=%&ListID=94", 200),
    ],
)
def test_odd_query_strings_are_read_or_refused(api: Api, port: int, query: str, status: int) -> None:
    """Only ListID is looked at, in any case; what is no list is refused as in a body."""
    request = head(f"Authorization: Bearer {api.credentials.read}", request=f"GET {PROPERTIES}?{query}")
    answer = ask(port, request)
    assert answer.status == status
    assert status == 200 or len(answer.codes) == 1


@pytest.mark.parametrize("authorization", ["Bearer", "Bearer ", "Basic eDp5", "Bearer \xff\xfe", "bearer\tx", "x" * 5000])
def test_odd_authorizations_are_no_credentials(port: int, authorization: str) -> None:
    """401 in the documented shape."""
    assert ask(port, whole(b"{}", f"Authorization: {authorization}")).codes == [99998]


def test_bytes_that_are_no_http_harm_nobody(api: Api, port: int) -> None:
    """TLS greetings, noise and silence end with a 400 or a closed connection."""
    for noise in (b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", b"\x00" * 100 + b"\r\n\r\n", b"GET\r\n\r\n", b"\r\n\r\n", b""):
        with Wire(port) as wire:
            answer = wire.send(noise).end().answer()
        assert answer is None or answer.status == 400
    assert_alive(api)


def test_slow_clients_do_not_keep_others_waiting(api: Api, port: int) -> None:
    """A hundred requests that stop in the middle hold up nobody; finished later, each gets its answer."""
    body = event(api.credentials)
    wires = [Wire(port).send(head(f"Content-Length: {len(body)}"), body[:10]) for _ in range(100)]
    assert_alive(api)
    for wire in wires:
        with wire:
            answer = wire.send(body[10:]).answer()
            assert answer is not None
            assert answer.status == 200


def test_a_cancelled_request_is_stored_once_or_not_at_all(tmp_path: Path) -> None:
    """Whenever an ASGI server or middleware cancels it; the writer lives on and later requests are answered."""
    db = tmp_path / "events.duckdb"
    credentials, port = make_store(db), free_port()
    app = [sys.executable, "-m", "uvicorn", "tests.apps.cancelling:app", "--port", str(port)]
    env = {"HOST_DB": str(db), "PYTHONPATH": str(Path(__file__).parents[2])}
    sent: dict[str, int] = {}
    with running(app, tmp_path / "log", port=port, env=env) as served:
        for turns in [*range(12)] * 10:
            event_id = str(uuid.uuid4())
            body = credentials.event(event="cut", EventID=event_id)
            answer = httpx.post(served.url + EVENT, json=body, headers={"X-Cancel-After": str(turns)}, timeout=30)
            assert answer.status_code in (200, 499)
            sent[event_id] = answer.status_code
        assert served.client.track(**credentials.event(event="after")).status_code == 200
        served.stop()
        assert "Traceback" not in served.log()
    assert 499 in sent.values()
    kept = [event_id for (event_id,) in rows(db, "select event_id::varchar from events where event = 'cut'")]
    assert len(kept) == len(set(kept))
    assert {event_id for event_id, status in sent.items() if status == 200} <= set(kept) <= set(sent)


UNPRIVILEGED = """
import os, sys, encodings.idna, uvicorn, uvloop, httptools
import falcon_events.cli, falcon_events.http.asgi, falcon_events.server.serve, falcon_events.server.uvicorn_protocol
if os.getuid() == 0:
    os.setgroups([]), os.setgid(65534), os.setuid(65534)
sys.argv[0] = "falcon-events"
falcon_events.cli.main()
"""
"""The command as a user whom permissions bind; its modules are loaded before, as that user may not read them."""


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that every user may look into."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)
        Path(name).chmod(0o755)


def refused(*command_line: str, **options: Any) -> str:
    """What a command that ends with 2 says, in one line."""
    done = subprocess.run(command_line, capture_output=True, text=True, check=False, timeout=120, **options)
    assert (done.returncode, done.stdout) == (2, ""), (done.returncode, done.stdout, done.stderr)
    (line,) = done.stderr.splitlines()
    return line


def test_serve_says_in_one_line_why_a_file_cannot_be_used(tmp_path: Path) -> None:
    """Exit code 2, the path and what to do: no folder, a folder, no database, another database, damaged, a newer schema."""
    newer = tmp_path / "newer.duckdb"
    make_store(newer)
    with duckdb.connect(str(newer)) as connection:
        connection.execute("update meta set schema_version = 99")
    other = tmp_path / "other.duckdb"
    with duckdb.connect(str(other)) as connection:
        connection.execute("create table t (a int)")
    text = tmp_path / "text.duckdb"
    text.write_text("this is no database\n" * 1000)
    damaged = tmp_path / "damaged.duckdb"
    damaged.write_bytes(newer.read_bytes()[:20_000])
    advice = {
        tmp_path / "nowhere" / "new.duckdb": "there is no folder",
        tmp_path: "the path of a file is needed",
        text: "Give the path of a store",
        other: "Give another path",
        damaged: "Restore it from a backup",
        newer: "Upgrade falcon-events",
    }
    for path, words in advice.items():
        before = path.read_bytes() if path.is_file() else None
        done = command("serve", "--db", str(path), "--port", str(free_port()))
        line = done.stderr.decode()
        assert (done.returncode, line.count("\n"), done.stdout) == (2, 1, b""), line
        assert str(path) in line
        assert words in line
        assert before is None or path.read_bytes() == before


def test_serve_says_in_one_line_what_it_may_not_touch(folder: Path) -> None:
    """Exit code 2, the path and what to do: an unreadable or unwritable file, and folders that cannot be written."""
    db = folder / "events.duckdb"

    def serve() -> str:
        command_line = [sys.executable, "-c", UNPRIVILEGED, "serve", "--db", str(db), "--port", str(free_port())]
        return refused(*command_line, env=unmeasured_environment())

    folder.chmod(0o555)
    assert f"{db}" in (line := serve())
    assert "Make its folder writable" in line
    folder.chmod(0o755)
    make_store(db)
    lock = db.with_name(f"{db.name}.lock")
    with EventTracking(db):
        lock.chmod(0o666)
    for mode, words in ((0o000, "cannot be read"), (0o444, "cannot be written")):
        db.chmod(mode)
        assert f"{db} {words}" in (line := serve())
        assert "Change its permissions" in line
    db.chmod(0o666)
    folder.chmod(0o555)  # the database's log could not be made beside the file
    assert f"{db}" in (line := serve())
    assert "Make its folder writable" in line
    lock.chmod(0o000)
    assert f"{db}" in serve()


@pytest.mark.parametrize("name", ["fastapi-wrapped", "flask-dispatched"])  # fastapi-mounted: test_logs.py
def test_a_mounted_tracker_without_its_file_answers_503_and_recovers(tmp_path: Path, name: str) -> None:
    """While the file is none: 503 with Retry-After in the documented shape, the host unhurt; mended, it is used at once."""
    good = tmp_path / "good.duckdb"
    credentials = make_store(good)
    with hosting(tmp_path / "host", name) as host:
        for bad in (b"this is no database\n" * 1000, None):
            host.db.unlink(missing_ok=True)
            if bad is None:
                host.db.mkdir()
            else:
                host.db.write_bytes(bad)
            for answer in (host.api.track(**credentials.event()), host.api.properties(APIKey=credentials.read, ListID=94)):
                assert answer.status_code == 503
                assert answer.json()["Errors"][0]["Code"] == 503
                assert answer.headers["Retry-After"].isdigit()
                assert str(host.db) not in answer.text
            if name == "flask-dispatched":
                assert host.api.get("/healthz").status_code == 503
            assert host.get("/hello").status_code == 200
            assert str(host.db) in host.served.log()
        host.db.rmdir()
        host.db.write_bytes(good.read_bytes())
        assert host.api.track(**credentials.event()).status_code == 200
        host.served.stop()
        assert "Bad file descriptor" not in host.served.log()
    assert len(rows(host.db, "select 1 from events where event = 'test'")) == 1
