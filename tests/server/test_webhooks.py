"""Committed events are posted to webhooks: signed, in order per visitor, at least once, whatever the receiver does."""

from __future__ import annotations

import contextlib
import functools
import itertools
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer, ThreadingHTTPServer
from pathlib import Path

import certifi
import pytest
from standardwebhooks import WebhookVerificationError

from falcon_events import EventsError, EventTracking, NotFound
from tests.harness import free_port, wait_until
from tests.receiver import Post, Receiver, receiving
from tests.shortcuts import make_store

FAST = {"delivery_backoff_s": 0.02}
"""The first wait of 20 ms, the second of 1.2 s."""
HASTY = {"delivery_backoff_s": 0.00001}
"""All waits together half a second."""
PATIENT = {"delivery_backoff_s": 600.0, "delivery_timeout_s": 1.0}
"""No second attempt; the first one may take a second."""
Opening = Callable[[dict[str, float]], EventTracking]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opening]:
    """Opens a tracker with these settings, once for all tests of this file."""
    with contextlib.ExitStack() as opened:

        @functools.cache
        def open_once(*settings: tuple[str, float]) -> EventTracking:
            db = tmp_path_factory.mktemp("shared") / "events.duckdb"
            make_store(db)
            return opened.enter_context(EventTracking(db, **dict(settings)))

        yield lambda settings: open_once(*settings.items())


@pytest.fixture
def store(shared: Opening, request: pytest.FixtureRequest) -> Iterator[EventTracking]:
    """A tracker with fill_store's lists, empty, whose deliveries are tried again soon, or as the test's parameter says."""
    tracking = shared(getattr(request, "param", FAST))
    yield tracking
    for webhook in tracking.webhooks.states():
        tracking.stop_delivering(webhook.url)
    for found in tracking.directory.lists():
        tracking.directory.delete_list(found.list_id)
    for account, list_id in (("alice", 94), ("alice", 95), ("bob", 96)):
        tracking.directory.create_list(account, "new", list_id)


hastily = pytest.mark.parametrize("store", [HASTY], ids=["hasty"], indirect=True)
patiently = pytest.mark.parametrize("store", [PATIENT], ids=["patient"], indirect=True)


@pytest.fixture
def unused(shared: Opening) -> EventTracking:
    """A tracker with fill_store's lists for calls that are refused: it has no webhook."""
    return shared(FAST)


def track(tracking: EventTracking, name: str, *numbers: int, list_id: int = 94) -> None:
    """Events of one visitor, who is bound already."""
    for number in numbers:
        tracking.track(list_id, "step", email=f"{name}@example.com", id=name, properties={"n": number})


def meet(tracking: EventTracking, *names: str, list_id: int = 94) -> None:
    """Binds visitors, so that no identify events come between theirs."""
    for name in names:
        tracking.track(list_id, "identify", email=f"{name}@example.com", id=name)


def steps(posts: list[Post], name: str) -> list[int]:
    """The numbers of a visitor's events."""
    return [post.data["properties"]["n"] for post in posts if post.data["external_id"] == name]


def deliveries(tracking: EventTracking, result: str) -> float:
    """How many attempts the metrics count that ended so."""
    (line,) = (line for line in tracking.metrics().decode().splitlines() if f'deliveries_total{{result="{result}"}}' in line)
    return float(line.split()[-1])


def test_an_event_is_posted_with_a_signature_that_the_library_verifies(store: EventTracking) -> None:
    """Body and headers as Standard Webhooks has them; the identify event that was stored with it comes first."""
    with receiving() as receiver:
        webhook = store.deliver(receiver.url)
        tracked = store.track(94, "signup", email="ada@example.com", id="u1", properties={"plan": "free", "n": 1.0})
        posts = receiver.wait_for(2)
    assert [post.data["event"] for post in posts] == ["identify", "signup"]
    body = posts[1].verified(webhook.secret)
    assert posts[1].id == tracked.event_id
    assert body["type"] == "event.stored"
    assert body["timestamp"] == body["data"]["received_at"]
    assert body["data"]["properties"] == {"plan": "free", "n": 1.0}
    assert (body["data"]["list_id"], body["data"]["external_id"], body["data"]["email"]) == (94, "u1", "ada@example.com")
    assert posts[1].headers["content-type"] == "application/json"
    other = store.deliver("http://127.0.0.1:9/other")
    with pytest.raises(WebhookVerificationError):
        posts[1].verified(other.secret)


def test_a_replaced_secret_signs_beside_the_new_one(store: EventTracking) -> None:
    """So that a receiver can be given the new secret before or after."""
    with receiving() as receiver:
        old = store.deliver(receiver.url)
        new = store.deliver(receiver.url, secret="whsec_" + "bmV3IHNlY3JldCBvZiBhdCBsZWFzdCAyNCBieXRlcw==")
        assert not new.made
        assert new.webhook_id == old.webhook_id
        meet(store, "ada")
        (post,) = receiver.wait_for(1)
    for secret in (old.secret, new.secret):
        assert post.verified(secret)["data"]["external_id"] == "ada"


@pytest.mark.database
def test_only_what_a_webhook_asks_for_is_delivered(store: EventTracking) -> None:
    """Lists and event types; changed by saying it again, without another webhook."""
    with receiving() as receiver:
        store.deliver(receiver.url, lists=[95], events=["step"])
        meet(store, "ada")
        meet(store, "bob", list_id=95)
        track(store, "ada", 1)
        track(store, "bob", 2, list_id=95)
        assert [post.data["list_id"] for post in receiver.wait_for(1)] == [95]
        store.deliver(receiver.url, events=["identify"])
        track(store, "bob", 3, list_id=95)
        meet(store, "cid")
        posts = receiver.wait_for(2)
        assert [(post.data["event"], post.data["external_id"]) for post in posts] == [("step", "bob"), ("identify", "cid")]
        assert len(store.webhooks.states()) == 1
        wait_until(lambda: store.webhooks.states()[0].unread == 0, "events that were left out are not gone past")


def test_a_webhook_starts_now_or_with_the_first_event(store: EventTracking) -> None:
    """Events of before are delivered only where that is asked for."""
    meet(store, "ada")
    track(store, "ada", 1, 2)
    with receiving() as late, receiving() as whole:
        store.deliver(late.url)
        store.deliver(whole.url, since="start")
        track(store, "ada", 3)
        assert steps(late.wait_for(1), "ada") == [3]
        posts = whole.wait_for(4)
        assert [post.data["properties"].get("n") for post in posts] == [None, 1, 2, 3]
        first = posts[0].data["seq"]
        assert [post.data["seq"] - first for post in posts] == [0, 1, 2, 3]


def test_what_fails_is_tried_again_before_the_visitors_next_events(store: EventTracking) -> None:
    """Others are not kept up by it."""
    failing = threading.Event()
    with receiving(lambda post: 500 if post.data["properties"].get("n") == 1 and not failing.is_set() else 200) as receiver:
        meet(store, "ada", "bob")
        store.deliver(receiver.url)
        track(store, "ada", 1, 2, 3)
        track(store, "bob", 7, 8)
        assert steps(receiver.wait_for(2), "bob") == [7, 8]
        wait_until(lambda: len(store.deliveries()) == 3, "there are no deliveries that wait")
        assert [(found.state, found.last_error) for found in store.deliveries()] == [
            ("waiting", "answered 500"),
            ("blocked", None),
            ("blocked", None),
        ]
        assert [found.state for found in store.deliveries(url=receiver.url, state="blocked")] == ["blocked", "blocked"]
        assert steps(receiver.taken, "ada") == []
        failing.set()
        assert steps(receiver.wait_for(5), "ada") == [1, 2, 3]
        wait_until(lambda: store.deliveries() == [], "what was delivered still waits")
        first = [post for post in receiver.posts if post.data["properties"]["n"] == 1]
        assert len({post.id for post in first}) == 1
        assert {post.body for post in first} == {first[0].body}
        assert first[-1].headers["webhook-timestamp"] >= first[0].headers["webhook-timestamp"]


@pytest.mark.database
@hastily
def test_an_event_that_nobody_takes_is_given_up_and_can_be_retried(store: EventTracking) -> None:
    """After ten attempts; the visitor's next events go on, doctor tells of it, and a retry delivers it."""
    taking = threading.Event()
    before = {result: deliveries(store, result) for result in ("delivered", "retried", "failed")}
    with receiving(lambda post: 422 if post.data["properties"].get("n") == 1 and not taking.is_set() else 200) as receiver:
        meet(store, "ada")
        store.deliver(receiver.url)
        track(store, "ada", 1, 2)
        assert steps(receiver.wait_for(1), "ada") == [2]
        wait_until(lambda: [found.state for found in store.deliveries()] == ["failed"], "it is not given up")
        (failed,) = store.deliveries(state="failed")
        assert (failed.attempts, failed.last_status, failed.next_attempt_at) == (10, 422, None)
        assert sum(post.status == 422 for post in receiver.posts) == 10
        check = next(check for check in store.check() if check.name == f"webhook {receiver.url}")
        assert not check.ok
        assert "1 deliveries have failed" in check.found
        assert {result: deliveries(store, result) - count for result, count in before.items()} == {
            "delivered": 1,
            "retried": 9,
            "failed": 1,
        }
        with pytest.raises(NotFound, match="No delivery"):
            store.retry_deliveries("6d0c6f3e-63cf-4d0b-8a0e-1f0e6f5d7a11")
        taking.set()
        assert store.retry_deliveries(failed.event_id) == 1
        assert steps(receiver.wait_for(2), "ada") == [2, 1]
        wait_until(lambda: store.deliveries() == [], "it is still listed")


def test_a_receiver_that_is_down_gets_everything_in_order_once_it_is_back(store: EventTracking) -> None:
    """Meanwhile the webhook pauses as a whole: no row is written for any of the events."""
    port = free_port()
    meet(store, *(f"v{number}" for number in range(7)))
    store.deliver(f"http://127.0.0.1:{port}/hook")
    for number in range(200):
        track(store, f"v{number % 7}", number)
    wait_until(lambda: store.webhooks.states()[0].state == "paused", "it does not pause")
    (down,) = store.webhooks.states()
    assert down.unread == 200
    assert down.last_error is not None
    assert "cannot be reached" in down.last_error
    assert store.deliveries() == []
    with receiving(port=port) as receiver:
        posts = receiver.wait_for(200)
        for visitor in range(7):
            assert steps(posts, f"v{visitor}") == list(range(visitor, 200, 7))
        wait_until(lambda: store.webhooks.states()[0].state == "active", "it is still paused")
        assert store.webhooks.states()[0].last_error is None


def test_a_receiver_that_fails_for_everybody_is_left_alone(store: EventTracking) -> None:
    """After three visitors' events have failed one after the other; few rows are written, and few requests made."""
    healthy = threading.Event()
    with receiving(lambda post: 200 if healthy.is_set() else 500) as receiver:
        names = [f"v{number}" for number in range(40)]
        meet(store, *names)
        store.deliver(receiver.url)
        for name in names:
            track(store, name, 1)
        wait_until(lambda: store.webhooks.states()[0].state == "paused", "it does not pause")
        assert len(store.deliveries()) < 20
        assert len(receiver.posts) < 20
        healthy.set()
        assert len(receiver.wait_for(40)) == 40


def test_gone_ends_a_webhook_until_it_is_retried(store: EventTracking) -> None:
    """410: nothing more is posted, and nothing is lost; saying deliver() again changes nothing."""
    back = threading.Event()
    with receiving(lambda post: 200 if back.is_set() else 410) as receiver:
        store.deliver(receiver.url)
        meet(store, "ada")
        wait_until(lambda: store.webhooks.states()[0].state == "disabled", "it is still in use")
        store.deliver(receiver.url)
        track(store, "ada", 1, 2)
        assert store.webhooks.states()[0].state == "disabled"
        assert len(receiver.posts) == 1
        check = next(check for check in store.check() if check.name == f"webhook {receiver.url}")
        assert "410" in check.found
        back.set()
        assert store.retry_deliveries(url=receiver.url) == 0
        assert [post.data["event"] for post in receiver.wait_for(3)] == ["identify", "step", "step"]


def test_a_retried_event_takes_up_no_webhook_but_its_own(store: EventTracking) -> None:
    """One that is disabled and has nothing to do with it stays so."""
    with receiving(lambda post: 410) as gone, receiving(lambda post: 422) as refusing:
        store.deliver(gone.url)
        store.deliver(refusing.url, events=["step"])
        track(store, "ada", 1)
        wait_until(lambda: store.webhooks.states()[0].state == "disabled", "it is still in use")
        wait_until(lambda: store.deliveries() != [], "nothing waits")
        assert store.retry_deliveries(store.deliveries()[0].event_id) == 1
        assert store.webhooks.states()[0].state == "disabled"
        assert store.retry_deliveries() == 1
        wait_until(lambda: len(gone.posts) == 2, "all are retried, and it is not taken up")


@patiently
def test_a_retried_event_takes_those_with_it_that_it_waits_for(store: EventTracking) -> None:
    """The earlier ones of its visitor that wait, in order; later ones follow, other visitors' stay."""
    healthy = threading.Event()
    with receiving(lambda post: 200 if healthy.is_set() else 422) as receiver:
        store.deliver(receiver.url, events=["step"])
        track(store, "bob", 0)
        track(store, "ada", 1, 2, 3)
        wait_until(lambda: len(store.deliveries()) == 4, "nothing waits")
        healthy.set()
        assert store.retry_deliveries(store.deliveries()[2].event_id) == 2
        assert steps(receiver.wait_for(3), "ada") == [1, 2, 3]
        wait_until(lambda: len(store.deliveries()) == 1, "what was delivered still waits")
        assert [(found.attempts, found.state) for found in store.deliveries()] == [(1, "waiting")]


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_waited_for(store: EventTracking, status: int) -> None:
    """It is longer than our own wait; the whole receiver is left alone meanwhile."""
    times: list[float] = []

    def answer(post: Post) -> int | tuple[int, dict[str, str]]:
        times.append(time.monotonic())
        return 200 if len(times) > 1 else (status, {"Retry-After": "2"})

    with receiving(answer) as receiver:
        store.deliver(receiver.url)
        meet(store, "ada")
        wait_until(lambda: store.webhooks.states()[0].state == "paused", "it does not pause")
        meet(store, "bob")
        receiver.wait_for(2)
    assert times[1] - times[0] >= 2


@hastily
@pytest.mark.parametrize("status", [429, 503])
def test_an_outage_with_answers_gives_no_event_up(store: EventTracking, status: int) -> None:
    """However often it is tried, what the receiver says of itself is no attempt; then all of a visitor's come in order."""
    healthy = threading.Event()
    with receiving(lambda post: 200 if healthy.is_set() else status) as receiver:
        store.deliver(receiver.url, events=["step"])
        track(store, "ada", 1, 2, 3)
        track(store, "bob", 4, 5)
        wait_until(lambda: len(receiver.posts) > 40, "it is not tried again")
        assert {(found.attempts, found.state) for found in store.deliveries()} <= {(0, "waiting"), (0, "blocked")}
        healthy.set()
        posts = receiver.wait_for(5)
        assert (steps(posts, "ada"), steps(posts, "bob")) == ([1, 2, 3], [4, 5])


@hastily
def test_an_event_that_is_answered_503_by_itself_keeps_nobody_up(store: EventTracking) -> None:
    """Other visitors' events are taken, each of which shows that it is the event's own failure: in the end it is given up."""
    with receiving(lambda post: 503 if post.data["external_id"] == "eve" else 200) as receiver:
        store.deliver(receiver.url, events=["step"])
        track(store, "eve", 0)
        wait_until(lambda: len(receiver.posts) > 20, "it is not tried again")
        numbers = itertools.count(1)

        def given_up() -> bool:
            number = next(numbers)
            track(store, f"v{number}", number)
            receiver.wait_for(number)
            return bool(store.deliveries(state="failed"))

        wait_until(given_up, "it is not given up")
        assert [found.attempts for found in store.deliveries()] == [10]


def test_a_redirect_is_not_followed(store: EventTracking) -> None:
    """It counts as a failure, and the place that it leads to gets nothing."""
    with receiving() as elsewhere, receiving(lambda post: (307, {"Location": elsewhere.url})) as receiver:
        store.deliver(receiver.url)
        meet(store, "ada")
        wait_until(lambda: store.deliveries() != [], "there is no failed attempt")
        assert store.deliveries()[0].last_error == "answered 307 (redirects are not followed)"
        assert elsewhere.posts == []


def test_a_receiver_that_never_answers_keeps_nobody_up(db: Path) -> None:
    """Events are stored and queried, and the tracker closes, while eight requests hang; the next owner delivers them."""
    make_store(db)
    release = threading.Event()

    def hang(post: Post) -> int:
        release.wait()
        return 200

    with receiving(hang) as receiver:
        tracking = EventTracking(db, delivery_timeout_s=300.0).open()
        tracking.deliver(receiver.url)
        names = [f"v{number}" for number in range(8)]
        meet(tracking, *names)
        for name in names:
            track(tracking, name, 1)
        assert tracking.properties(94)["step"] == ["n"]
        tracking.close()
        assert not release.is_set()
        release.set()
        with EventTracking(db):
            posts = receiver.wait_for(16)
        assert {post.id for post in posts} == {post.id for post in receiver.posts}


@patiently
def test_a_receiver_that_answers_byte_by_byte_has_no_longer_than_the_time_limit(store: EventTracking) -> None:
    """Each byte comes in time and the answer never ends: the attempt has failed, and the connection is closed."""
    closed = threading.Event()

    def drip(listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            connection, _ = listener.accept()
            with connection, contextlib.suppress(OSError):
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 200 OK\r\n")
                while True:
                    connection.sendall(b"X-More: more\r\n")
                    time.sleep(0.1)  # the receiver's pace
            closed.set()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=drip, args=(listener,), daemon=True).start()
        store.deliver(f"http://127.0.0.1:{listener.getsockname()[1]}/hook")
        meet(store, "ada")
        wait_until(lambda: store.deliveries() != [], "it waits for the end of the answer")
        assert store.deliveries()[0].last_error == "no answer within 1 s"
        wait_until(closed.is_set, "the connection is still open")


def test_an_answer_without_end_is_not_read_to_its_end(store: EventTracking) -> None:
    """2xx counts, and so much of the body is read that the connection could be used again, no more."""

    class Endless(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.end_headers()
            with contextlib.suppress(OSError):
                while True:
                    self.wfile.write(b"x" * 65536)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Endless) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        store.deliver(f"http://127.0.0.1:{server.server_port}/hook")
        meet(store, "ada", "bob")
        wait_until(lambda: store.webhooks.states()[0].unread == 0, "nothing is delivered")
        assert store.deliveries() == []
        server.shutdown()
        thread.join()


@patiently
@pytest.mark.parametrize("rest", ["cut", "late", "slow"])
def test_the_status_counts_though_the_answer_does_not_end(store: EventTracking, rest: str) -> None:
    """A 2xx takes the event where its body is cut off, never comes or comes byte by byte; nothing is posted again."""
    posts: list[str] = []
    release = threading.Event()

    class Unfinished(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            posts.append(self.headers["webhook-id"])
            self.send_response(200)
            self.send_header("Content-Length", "100")
            self.end_headers()
            with contextlib.suppress(OSError):
                self.wfile.write(b"ok")
                while rest != "cut" and not release.wait(0.1):  # the receiver's pace
                    if rest == "slow":
                        self.wfile.write(b".")
            self.close_connection = True

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Unfinished) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        store.deliver(f"http://127.0.0.1:{server.server_port}/hook")
        names = ["ada", "bob", "cid"]
        meet(store, *names)
        wait_until(lambda: store.webhooks.states()[0].unread == 0, "nothing is delivered")
        assert store.deliveries() == []
        assert len(posts) == len(set(posts)) == len(names)
        release.set()
        server.shutdown()
        thread.join()


@pytest.mark.needs("openssl")
def test_a_certificate_that_nobody_vouches_for_gets_no_event(store: EventTracking, tmp_path: Path) -> None:
    """The connection is refused before anything of an event is sent."""
    pem = tmp_path / "self.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext",
         "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", str(pem), "-out", str(tmp_path / "self.crt")],
        check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "self.crt", pem)
    receiver = Receiver()
    receiver._server.socket = context.wrap_socket(receiver._server.socket, server_side=True, do_handshake_on_connect=False)
    try:
        store.deliver(receiver.url.replace("http:", "https:"))
        meet(store, "ada")
        wait_until(lambda: store.webhooks.states()[0].state == "paused", "it does not pause")
        assert "certificate verify failed" in str(store.webhooks.states()[0].last_error).lower()
        assert receiver.posts == []
    finally:
        receiver.stop()


@pytest.mark.parametrize(
    ("variable", "value", "error"),
    [
        ("SSL_CERT_FILE", "{folder}/ca.pem", "FileNotFoundError"),
        ("HTTPS_PROXY", "gopher://127.0.0.1:70", "gopher://127.0.0.1:70"),
    ],
)
def test_what_hinders_every_post_pauses_the_webhook_and_is_told(
    db: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, error: str
) -> None:
    """An environment in which no connection can be made: the process that posts lives, and the webhook's error says why."""
    make_store(db)
    certificates = db.with_name("ca.pem")
    monkeypatch.setenv(variable, value.format(folder=db.parent))
    with receiving() as receiver, EventTracking(db, **FAST) as store:
        store.deliver(receiver.url)
        meet(store, "ada")
        wait_until(lambda: store.webhooks.states()[0].state == "paused", "it does not pause")
        assert error in str(store.webhooks.states()[0].last_error)
        assert (store.webhooks.states()[0].unread, store.deliveries()) == (1, [])
        if variable == "SSL_CERT_FILE":
            shutil.copy(certifi.where(), certificates)
            receiver.wait_for(1)


@pytest.mark.database
def test_a_large_backlog_is_delivered_after_a_downtime(store: EventTracking) -> None:
    """More events than one round may have were stored meanwhile, large ones among them."""
    port = free_port()
    store.deliver(f"http://127.0.0.1:{port}/hook")
    bodies = [
        b'{"ListID":94,"event":"step","email":"v%d@example.com","id":"v%d","properties":{"n":%d,"text":"%s"}}'
        % (number % 50, number % 50, number, b"x" * (900_000 if number % 300 == 0 else 10))
        for number in range(1200)
    ]
    assert all(not isinstance(answer, Exception) for answer in store.track_many(bodies))
    wait_until(lambda: store.webhooks.states()[0].state == "paused", "it does not pause")
    with receiving(port=port) as receiver:
        posts = [post for post in receiver.wait_for(1250, seconds=300) if post.data["event"] == "step"]
    for visitor in range(50):
        assert steps(posts, f"v{visitor}") == list(range(visitor, 1200, 50))
    assert store.deliveries() == []


@pytest.mark.database
def test_erased_and_deleted_events_are_not_delivered_any_more(store: EventTracking) -> None:
    """Neither those that wait, nor those that are on their way when a person is erased."""
    healthy = threading.Event()
    erased = threading.Event()

    def answer(post: Post) -> int:
        if post.data["external_id"] == "eve" and not erased.is_set():
            store.erase(94, id="eve")
            erased.set()
        return 200 if healthy.is_set() or post.data["list_id"] == 96 else 422

    with receiving(answer) as receiver:
        meet(store, "ada")
        meet(store, "cid", list_id=95)
        store.deliver(receiver.url)
        track(store, "ada", 1, 2)
        track(store, "cid", 3, list_id=95)
        wait_until(lambda: len(store.deliveries()) == 3, "nothing waits")
        meet(store, "eve")
        wait_until(erased.is_set, "the event is not posted")
        store.erase(94, id="ada")
        store.directory.delete_list(95)
        meet(store, "bob", list_id=96)
        receiver.wait_for(1)
        healthy.set()
        wait_until(lambda: store.webhooks.states()[0].unread == 0, "there is more to come")
        assert store.deliveries() == []
        assert store.sql("select count(*) from deliveries").rows == [[0]]
        assert [post.data["external_id"] for post in receiver.taken] == ["bob"]


def test_a_removed_webhook_gets_nothing_more(store: EventTracking) -> None:
    """And what waited for it is forgotten."""
    with receiving(lambda post: 500) as receiver, receiving() as other:
        store.deliver(receiver.url)
        meet(store, "ada")
        track(store, "ada", 1)
        wait_until(lambda: len(store.deliveries()) == 2, "nothing waits")
        assert store.stop_delivering(receiver.url) == 2
        assert store.webhooks.states() == store.deliveries() == []
        with pytest.raises(NotFound, match="no webhook"):
            store.stop_delivering(receiver.url)
        tried = len(receiver.posts)
        store.deliver(other.url)
        track(store, "ada", 2)
        other.wait_for(1)
        assert len(receiver.posts) <= tried + 1  # one may have been on its way


@pytest.mark.database
def test_copies_and_a_compacted_store_have_webhooks_and_deliveries(store: EventTracking, tmp_path: Path) -> None:
    """Backup and compact: deliveries go on from where they were."""
    healthy = threading.Event()
    with receiving(lambda post: 200 if healthy.is_set() else 422) as receiver:
        store.deliver(receiver.url, events=["step"])
        meet(store, "ada")
        track(store, "ada", 1, 2)
        wait_until(lambda: len(store.deliveries()) == 2, "nothing waits")
        store.backup(tmp_path / "copy.duckdb")
        store.compact()
        assert len(store.deliveries()) == 2
        assert {check.name for check in store.check()} >= {"table webhooks", "table deliveries"}
        healthy.set()
        assert steps(receiver.wait_for(2), "ada") == [1, 2]
        with EventTracking(tmp_path / "copy.duckdb", **FAST) as copy:
            wait_until(lambda: len(receiver.taken) == 4, "the copy does not deliver")
            assert copy.webhooks.states()[0].url == receiver.url


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"url": "ftp://example.com/"}, "https:// or http://"),
        ({"url": "https:///path"}, "name a host"),
        ({"url": "https://user:secret@example.com/"}, "credentials"),
        ({"url": "https://example.com:99999/"}, "url="),
        ({"url": "https://example.com/#part"}, "fragment"),
        ({"url": "https://exämple.com/"}, "percent-encoded"),
        ({"secret": "whsec_c2hvcnQ="}, "24 to 64 bytes"),
        ({"secret": "not a secret"}, "24 to 64 bytes"),
        ({"lists": []}, "lists="),
        ({"lists": [0]}, "lists="),
        ({"events": [""]}, "events="),
        ({"since": "yesterday"}, "since="),
        ({"since": ["now"]}, "since="),
        ({"url": None}, "url=None"),
        ({"url": b"https://example.com/"}, "url=b"),
        ({"url": "https://example.com/\ud800"}, "url="),
        ({"secret": b"whsec_c2hvcnQ="}, "24 to 64 bytes"),
        ({"secret": 5}, "24 to 64 bytes"),
        ({"lists": 1}, "lists=1"),
        ({"lists": [94, "a"]}, "lists="),
        ({"lists": [True]}, "lists="),
        ({"lists": [[94]]}, "lists="),
        ({"lists": "94"}, "lists='94'"),
        ({"lists": [2**63]}, "lists="),
        ({"lists": [94, 99]}, "there is no list 99"),
        ({"events": 1}, "events=1"),
        ({"events": [1, "a"]}, "events="),
        ({"events": b"step"}, "events="),
        ({"events": ["\ud800"]}, "events="),
    ],
)
def test_an_argument_that_cannot_be_is_named(unused: EventTracking, arguments: dict[str, object], message: str) -> None:
    """Before anything is changed, and without the secret."""
    with pytest.raises(EventsError, match=message) as refused:
        unused.deliver(**{"url": "https://example.com/hook", **arguments})  # type: ignore[arg-type]
    assert "c2hvcnQ" not in str(refused.value)
    assert "not a secret" not in str(refused.value)
    assert unused.webhooks.states() == []


def test_questions_about_what_is_not_there_are_refused(unused: EventTracking) -> None:
    """Unknown webhooks, states and ids."""
    with pytest.raises(NotFound, match="no webhook"):
        unused.deliveries(url="https://example.com/")
    with pytest.raises(NotFound, match="no webhook"):
        unused.retry_deliveries(url="https://example.com/")
    with pytest.raises(EventsError, match="state='lost'"):
        unused.deliveries(state="lost")
    with pytest.raises(EventsError, match="event_id='7'"):
        unused.retry_deliveries("7")


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda store: store.retry_deliveries(5), "event_id=5"),
        (lambda store: store.retry_deliveries(b"7"), "event_id=b'7'"),
        (lambda store: store.retry_deliveries(url=5), "url=5"),
        (lambda store: store.deliveries(most=-1), "most=-1"),
        (lambda store: store.deliveries(most=0), "most=0"),
        (lambda store: store.deliveries(most="5"), "most='5'"),
        (lambda store: store.deliveries(most=2**63), "most="),
        (lambda store: store.deliveries(url=b"https://example.com/"), "url=b"),
        (lambda store: store.deliveries(state=5), "state=5"),
        (lambda store: store.stop_delivering(None), "url=None"),
        (lambda store: store.stop_delivering("\ud800"), "url="),
    ],
)
def test_a_question_of_the_wrong_kind_names_its_argument(
    unused: EventTracking, ask: Callable[[EventTracking], object], message: str
) -> None:
    """As an EventsError, whatever was given."""
    with pytest.raises(EventsError, match=message):
        ask(unused)


def test_lists_of_the_host_application_are_not_looked_up(db: Path) -> None:
    """Only it knows which there are."""

    class Own:
        def identify(self, credential: object) -> None:
            return None

        def owns_list(self, account: str, list_id: int) -> bool:
            return True

    with EventTracking(db, access=Own()) as tracking:
        assert tracking.deliver("http://127.0.0.1:9/hook", lists=[7, 5, 7]).list_ids == [5, 7]
