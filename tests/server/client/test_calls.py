"""The client's calls, sync and async, against real servers of both kinds, whatever stands between them."""

from __future__ import annotations

import inspect
import itertools
import re
import subprocess
import sys
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from falcon_events import SettingError
from falcon_events.client import (
    AsyncClient,
    Client,
    ClientClosed,
    Event,
    InvalidRequest,
    NoAnswer,
    NotAllowed,
    NotAuthenticated,
    RateLimited,
    RequestRefused,
    StoreUnavailable,
    Tracked,
)
from tests.conftest import Api
from tests.harness import free_port, rows, serving
from tests.server.client.common import ERRORS, Caller, World, name
from tests.server.client.peer import Peer, answering, cut_answer, lose_answer, lose_request, never, no_http
from tests.shortcuts import make_store


def test_an_event_is_tracked_and_its_properties_are_listed(kind: str, api: Api) -> None:
    """The answer's documented members, and the EventID that the client has made up."""
    event = name()
    with Caller(kind, api.url, api.credentials.full) as client:
        tracked = client.track(94, event, email="ada@example.com", id=7, properties={"plan": "free", "näme": "ß"})
        assert isinstance(tracked, Tracked)
        assert tracked.external_id == "7"
        assert uuid.UUID(tracked.event_id).version == 4
        assert not tracked.duplicate
        assert client.properties("94")[event] == ["näme", "plan"]


def test_every_parameter_arrives(kind: str, world: World) -> None:
    """Under its documented name."""
    event, visitor, event_id = name(), str(uuid.uuid4()), str(uuid.uuid4())
    with Peer(world.url) as peer, Caller(kind, peer.url + "/", world.made.full) as client:
        tracked = client.track(
            94,
            event,
            email="ada@example.com",
            id="x",
            properties={"n": 1},
            uuid=visitor,
            timestamp="2026-01-02T03:04:05+00:00",
            event_id=event_id,
            identify_properties={"city": "London"},
        )
        (request,) = peer.requests
    assert request.json() == {
        "ListID": 94,
        "event": event,
        "email": "ada@example.com",
        "id": "x",
        "properties": {"n": 1},
        "UUID": visitor,
        "Timestamp": "2026-01-02T03:04:05+00:00",
        "EventID": event_id,
        "IdentifyProperties": {"city": "London"},
    }
    assert (tracked.uuid, tracked.event_id) == (visitor, event_id)
    assert request.headers["Authorization"] == f"Bearer {world.made.full}"


@pytest.mark.parametrize(
    "trick", [lose_answer, cut_answer, no_http, never, answering(200, b"<html>"), answering(200, {"Results": []})]
)
def test_a_request_is_sent_again_until_it_is_answered_and_stored_once(kind: str, world: World, trick: Any) -> None:
    """Whether the first one was stored or not, and whatever came instead of an answer."""
    event = name()
    with Peer(world.url) as peer, Caller(kind, peer.url, world.made.full, timeout_s=1) as client:
        peer.tricks = [trick, lose_request, answering(502, b"Bad Gateway")]
        tracked = client.track(94, event, email="ada@example.com")
        sent = {request.json()["EventID"] for request in peer.requests}
        assert len(peer.requests) == 4
    assert sent == {tracked.event_id}
    assert world.stored(event) == [tracked.event_id]
    assert tracked.duplicate is (trick in (lose_answer, cut_answer))


def test_a_batch_is_sent_again_and_stored_once(kind: str, world: World) -> None:
    """2,500 events in three requests, of which each meets another fault."""
    event = name()
    with Peer(world.url) as peer, Caller(kind, peer.url, world.made.full) as client:
        peer.tricks = [lose_answer, lambda request: True, answering(503, ERRORS, Retry_After="0"), cut_answer]
        results = client.track_many(Event(94, event, email=f"{n}@example.com", properties={"n": n}) for n in range(2500))
        assert len(peer.requests) == 6
        assert {request.headers["Content-Encoding"] for request in peer.requests} == {"gzip"}
    assert [result.event_id for result in results] == world.stored(event)
    assert len(set(world.stored(event))) == 2500


def test_a_batch_tells_of_each_event_what_it_would_have_got_alone(kind: str, world: World) -> None:
    """A refused one keeps no other back."""
    event = name()
    events = [
        Event(94, event, email="a@example.com"),
        Event(94, event),
        Event(96, event, email="a@example.com"),
        Event(94, event, uuid=str(uuid.uuid4())),
    ]
    with Caller(kind, world.url, world.made.full) as client:
        first, second, third, fourth = client.track_many(events)
    assert isinstance(second, InvalidRequest)
    assert second.codes == (6,)
    assert (third.status, third.codes) == (422, (4,))
    assert [first.event_id, fourth.event_id] == [events[0].event_id, events[3].event_id] == world.stored(event)


def test_an_event_that_cannot_be_sent_keeps_no_other_back(kind: str, world: World) -> None:
    """What JSON cannot hold, is nested too deep or is too large: each is refused at its place."""
    event, deep = name(), {}
    for _ in range(70):
        deep = {"a": deep}
    bad = [{"x": float("nan")}, {"x": b"1"}, deep, {"x": "x" * (1 << 21)}]
    events = [Event(94, event, email="a@example.com", properties=bad[n // 5] if n % 5 == 2 else None) for n in range(20)]
    with Caller(kind, world.url, world.made.full) as client:
        results = client.track_many(events)
        assert [type(result) for result in client.track_many(events[2:3])] == [InvalidRequest]
    assert [n for n, result in enumerate(results) if isinstance(result, InvalidRequest)] == [2, 7, 12, 17]
    assert [result.event_id for result in results if isinstance(result, Tracked)] == world.stored(event)
    assert len(world.stored(event)) == 16


def test_what_the_store_cannot_take_of_a_batch_is_sent_again(kind: str, world: World) -> None:
    """Only that part of it."""
    event = name()

    def half_full(request: Any) -> bool:
        answer = request.passed_on().json()
        answer["Results"][1:3] = [ERRORS, {"Errors": [{"Code": 100005, "Message": "An unexpected error occurred."}]}]
        return answering(200, answer)(request)

    with Peer(world.url) as peer, Caller(kind, peer.url, world.made.full) as client:
        peer.tricks = [half_full]
        results = client.track_many([Event(94, event, email="a@example.com") for _ in range(4)])
        assert [len(request.json()["Events"]) for request in peer.requests] == [4, 2]
    assert [result.event_id for result in results] == world.stored(event)


def test_a_server_that_asks_for_patience_gets_it(kind: str, world: World) -> None:
    """`Retry-After` of 429 and 503, in seconds or as a date, is waited for, or told where no try could come in time."""
    event = name()
    limited = {"Errors": [{"Code": 429, "Message": "Too many requests. Try again later."}]}
    with Peer(world.url) as peer, Caller(kind, peer.url, world.made.full, retry_s=20) as client:
        peer.tricks = [answering(429, limited, Retry_After="1"), answering(503, ERRORS, Retry_After="1")]
        client.track(94, event, email="a@example.com")
        first, second, third = (request.at for request in peer.requests)
        assert second - first >= 1
        assert third - second >= 1
        peer.tricks = [answering(429, limited, Retry_After="3000")]
        with pytest.raises(RateLimited) as refused:
            client.track(94, event, email="a@example.com")
        assert refused.value.retry_after_s == 3000
        peer.tricks = [answering(503, ERRORS, Retry_After="Fri, 31 Dec 9999 23:59:59 GMT")]
        with pytest.raises(StoreUnavailable, match="queue is full") as unavailable:
            client.track(94, event, email="a@example.com")
        assert unavailable.value.retry_after_s == 3600
        assert len(peer.requests) == 5


def test_tries_end(kind: str, world: World) -> None:
    """A server that fails whatever it is asked is asked again, with a pause, and not for ever."""
    with Peer(world.url) as peer, Caller(kind, peer.url, world.made.full, retry_s=2) as client:
        peer.always = answering(500, b"oops")
        with pytest.raises(NoAnswer, match="500 Internal Server Error"):
            client.track(94, "x", email="a@example.com")
        moments = [request.at for request in peer.requests]
    assert len(moments) > 1
    assert all(later - earlier >= 0.05 for earlier, later in itertools.pairwise(moments))


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, InvalidRequest),
        (401, NotAuthenticated),
        (403, NotAllowed),
        (404, RequestRefused),
        (413, InvalidRequest),
        (308, RequestRefused),
    ],
)
def test_what_is_refused_is_not_sent_again(kind: str, world: World, status: int, error: type[RequestRefused]) -> None:
    """Also where the refusal is not in the documented shape, as a proxy's."""
    with Peer(world.url) as peer, Caller(kind, peer.url, world.made.full) as client:
        peer.always = answering(status, b"<html>no</html>", Location="https://elsewhere.example")
        with pytest.raises(error) as refused:
            client.track(94, "x", email="a@example.com")
        assert refused.value.status == status
        assert len(peer.requests) == 1


def test_refusals_are_the_packages_own_errors(kind: str, api: Api) -> None:
    """With the documented codes and messages, as EventTracking raises them."""
    made = api.credentials
    with Caller(kind, api.url, made.full) as client:
        with pytest.raises(InvalidRequest, match=r"Missing event parameter\.") as invalid:
            client.track(94, "")
        assert (invalid.value.status, invalid.value.codes) == (422, (5, 6))
        with pytest.raises(InvalidRequest, match="List not found"):
            client.properties(made.foreign_list)
        with pytest.raises(InvalidRequest, match="finite"):
            client.track(94, "x", email="a@example.com", properties={"n": float("nan")})
    with Caller(kind, api.url, "wrong") as client, pytest.raises(NotAuthenticated):
        client.properties(94)
    with Caller(kind, api.url, made.read) as client, pytest.raises(NotAllowed):
        client.track_many([Event(94, "x", email="a@example.com")])


def test_a_server_that_is_killed_and_started_again_is_found(one_flavour: str, db: Path) -> None:
    """Between two tries, without another client, by both clients."""
    made, port = make_store(db), free_port()
    with ExitStack() as stack, ThreadPoolExecutor() as pool:
        clients = [
            stack.enter_context(Caller(kind, f"http://127.0.0.1:{port}", made.full, retry_s=60)) for kind in ("sync", "async")
        ]
        with serving(db, one_flavour, port=port) as served:
            for client in clients:
                client.track(94, "before", email="a@example.com")
            served.process.kill()
        calls = [pool.submit(client.track, 94, "after", email="a@example.com") for client in clients]
        with serving(db, one_flavour, port=port):
            event_ids = {call.result().event_id for call in calls}
    stored = rows(db, "select event_id::varchar from events where event = 'after'")
    assert (len(stored), {event_id for (event_id,) in stored}) == (2, event_ids)


def test_nobody_at_home(kind: str) -> None:
    """The error says where, and that nothing was sent."""
    url = f"http://127.0.0.1:{free_port()}"
    with Caller(kind, url, "key", retry_s=0.3) as client, pytest.raises(NoAnswer, match=url) as error:
        client.track(94, "x", email="a@example.com")
    assert error.value.reached is False


def test_a_closed_client_says_so(kind: str, api: Api) -> None:
    """Whatever is called; closing it again does nothing."""
    with Caller(kind, api.url, api.credentials.full) as client:
        client.track(94, "x", email="a@example.com")
        client.close()
        client.close()
        for call in (
            lambda: client.track(94, "x", email="a@example.com"),
            lambda: client.track_many([Event(94, "x", email="a@example.com")]),
            lambda: client.properties(94),
            lambda: client.enqueue(94, "x", email="a@example.com"),
            lambda: client.flush(),
        ):
            with pytest.raises(ClientClosed):
                call()


def test_closing_ends_the_pauses_of_other_threads(world: World) -> None:
    """A call that waits for its next try ends with the client; one whose answer was still on its way has none."""
    with Peer(world.url) as peer:
        peer.always = answering(503, ERRORS, Retry_After="2000")
        client = Client(peer.url, world.made.full, retry_s=3000)
        errors: list[Exception] = []

        def call() -> None:
            try:
                client.track(94, "x", email="a@example.com")
            except (ClientClosed, NoAnswer) as error:
                errors.append(error)

        calling = threading.Thread(target=call)
        calling.start()
        while not peer.requests:
            time.sleep(0.01)
        client.close()
        calling.join(600)
        assert len(errors) == 1


@pytest.mark.parametrize(
    "options", [{"timeout_s": 0}, {"retry_s": -1}, {"queue_events": 0}, {"linger_s": "x"}, {"exit_s": float("nan")}]
)
@pytest.mark.parametrize("client", [Client, AsyncClient])
def test_an_option_that_cannot_be_is_named(client: Any, options: dict[str, Any]) -> None:
    """With what would be right."""
    with pytest.raises(SettingError, match=f"{next(iter(options))}=.*: expected a number"):
        client("http://127.0.0.1", "key", **options)


@pytest.mark.parametrize("client", [Client, AsyncClient])
def test_nobody_to_tell_is_named(client: Any) -> None:
    """A coroutine function would never run."""

    async def on_error(event: Event, error: Exception) -> None: ...

    class Telling:
        async def __call__(self, event: Event, error: Exception) -> None: ...

    for wrong in (on_error, Telling(), "x"):
        with pytest.raises(SettingError, match="on_error="):
            client("http://127.0.0.1", "key", on_error=wrong)
    client("http://127.0.0.1", "key", on_error=lambda event, error: None)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "events.example.com",
        "ftp://x",
        "http://",
        "https://x/?y",
        None,
        "http://a..b",
        f"http://{'a' * 70}.com",
        "http://x:99999",
        "http://a b",
        "http://a%20b",
    ],
)
def test_an_address_that_cannot_be_is_named(url: Any) -> None:
    """With an example of what would be right."""
    with pytest.raises(SettingError, match=r"https://events\.example\.com/tracking"):
        Client(url, "key")
    for key in ("", "ä", "a\nb", None):
        with pytest.raises(SettingError, match="api_key"):
            Client("http://127.0.0.1", key)  # type: ignore[arg-type]


def test_without_httpx_it_is_said_what_to_install() -> None:
    """By an ImportError that names the command; with it, neither the framework nor the database is loaded."""
    code = "import sys; sys.modules['httpx'] = None; import falcon_events.client"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.splitlines()[-1] == ("ImportError: falcon_events.client needs httpx: pip install 'falcon-events[client]'")
    code = "import sys, falcon_events.client; print(sorted({'falcon', 'duckdb', 'jsonschema'} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


@pytest.mark.parametrize("number", range(4))
def test_the_documentations_examples_run(number: int, world: World, tmp_path: Path) -> None:
    """Every block of docs/client.md, against a real server in place of the one that it names."""
    text = (Path(__file__).parents[3] / "docs" / "client.md").read_text()
    blocks = re.findall(r"^```py\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 4
    script = tmp_path / "example.py"
    real = {"https://events.example.com": world.url, "fe_full_KEY": world.made.full, "ada@": f"{name()}@"}
    block = blocks[number]
    for word, value in real.items():
        block = block.replace(word, value)
    script.write_text(block)
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    options = {row.split("|")[1].replace("`", "").strip() for row in text.splitlines() if row.startswith("| `")}
    documented = {name.strip() for names in options for name in names.split(",")}
    assert {*inspect.signature(Client).parameters} - {"url", "api_key"} <= documented
    assert inspect.signature(Client).parameters.keys() == inspect.signature(AsyncClient).parameters.keys()
