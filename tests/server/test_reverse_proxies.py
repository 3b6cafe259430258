"""Behind nginx and Caddy, as docs/self-hosting.md sets them up: the page's own blocks, run by the real programs."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import pwd
import re
import shlex
import signal
import socket
import ssl
import subprocess
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import httpx
import pytest

from falcon_events import EventTracking
from falcon_events.assets.snippet import render_snippet
from falcon_events.assets.tracker import load_script
from tests.conftest import Api
from tests.harness import EVENT, EVENTS, Client, free_port, plain, serving, wait_for_a_minutes_rest, wait_until
from tests.needs import require
from tests.server.test_mounting import PREFIX, hosting
from tests.shortcuts import make_store

PAGE = Path(__file__).parents[2] / "docs/self-hosting.md"
A_CLIENT = "127.0.0.3"
"""Another address of this machine than the one that the proxies connect from."""
MIB = 1 << 20
NGINX = """
daemon off;
pid {folder}/nginx.pid;
error_log stderr;
{user}
worker_processes 2;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    {block}
}}
"""


def block(mark: str) -> str:
    """The block of the page that follows a comment."""
    found = re.search(rf"^<!-- {mark} -->\n```\w*\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert found is not None, mark
    return found[1]


def replaced(text: str, **changes: str) -> str:
    """The text with what differs on a machine of tests: each of it stands there once."""
    for old, new in changes.items():
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text


@contextlib.contextmanager
def program(command: list[str], folder: Path, port: int, env: dict[str, str] | None = None) -> Iterator[None]:
    """A proxy, from the moment it listens until the end of the block."""
    require(command[0])
    log = folder / f"{command[0]}.log"
    with log.open("w") as output:
        environment = {**os.environ, **(env or {}), "PATH": f"{os.environ['PATH']}:/usr/sbin"}
        process = subprocess.Popen(command, stdout=output, stderr=output, env=environment)

    def listens() -> bool:
        assert process.poll() is None, log.read_text()
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    try:
        wait_until(listens, f"{command[0]} does not listen")
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


@contextlib.contextmanager
def nginx(folder: Path, mark: str, upstream: int) -> Iterator[int]:
    """The port of an nginx with a block of the page in front of a server."""
    port = free_port()
    text = replaced(block(mark), **{"listen 80;": f"listen 127.0.0.1:{port};", "127.0.0.1:8080": f"127.0.0.1:{upstream}"})
    user = f"user {pwd.getpwuid(0).pw_name};" if os.geteuid() == 0 else ""
    config = folder / f"nginx-{port}.conf"
    config.write_text(NGINX.format(folder=folder, user=user, block=text))
    with program(["nginx", "-p", str(folder), "-c", str(config), "-e", "stderr"], folder, port):
        yield port


@contextlib.contextmanager
def caddy(folder: Path, upstream: int) -> Iterator[int]:
    """The port of a Caddy with the page's block in front of a server, without HTTPS."""
    port = free_port()
    site = replaced(
        block("caddy"), **{"events.example.com {": f"http://127.0.0.1:{port} {{", "127.0.0.1:8080": f"127.0.0.1:{upstream}"}
    )
    with run_caddy(folder, site, port):
        yield port


def run_caddy(folder: Path, sites: str, port: int) -> contextlib.AbstractContextManager[None]:
    """A Caddy with these sites, one of which listens on the port; all that it keeps is in the folder."""
    config = folder / f"Caddyfile-{port}"
    config.write_text("{\n\tadmin off\n\tskip_install_trust\n\tauto_https disable_redirects\n}\n" + sites)
    env = {"XDG_DATA_HOME": str(folder / "data"), "XDG_CONFIG_HOME": str(folder / "config"), "HOME": str(folder)}
    return program(["caddy", "run", "--config", str(config), "--adapter", "caddyfile"], folder, port, env)


def client_of(url: str) -> Client:
    """A client that connects from an address of its own."""
    return Client(base_url=url, timeout=60, transport=httpx.HTTPTransport(local_address=A_CLIENT))


@pytest.fixture
def proxied(api: Api, tmp_path: Path) -> Iterator[Client]:
    """The standalone server of each flavour behind nginx."""
    with nginx(tmp_path, "nginx", api.served.port) as port, client_of(f"http://127.0.0.1:{port}") as client:
        yield client


def test_the_api_answers_through_nginx_as_it_does_without(api: Api, proxied: Client) -> None:
    """Events, batches, queries, failures and preflights; the operations that are nobody's business are not there."""
    event = api.credentials.event(event="nginx")
    assert proxied.track(**event).json()["status"] == "success"
    assert (
        "number-of-subscribers-imported"
        in proxied.properties(APIKey=api.credentials.full, ListID=94).json()["Properties"]["nginx"]
    )
    assert proxied.post(EVENT, content=b"{").json() == api.client.post(EVENT, content=b"{").json()
    assert proxied.get("/no/such/path").status_code == 404
    assert proxied.put(EVENT).headers["Allow"] == api.client.put(EVENT).headers["Allow"]
    assert proxied.get("/healthz").json() == {"status": "ok"}
    for path in ("/metrics", "/readyz"):
        assert httpx.get(f"{proxied.base_url}{path}").status_code == 404


def test_large_batches_plain_and_compressed_pass_nginx(api: Api, proxied: Client) -> None:
    """A thousand events of almost 1 MiB, and the same as gzip."""
    event = {**api.credentials.event(event="large", APIKey=...), "properties": {"text": "x" * 900}}
    body = json.dumps({"APIKey": api.credentials.full, "Events": [event] * 1000}).encode()
    assert 0.9 * MIB < len(body) <= MIB
    assert len(proxied.post(EVENTS, content=body).json()["Results"]) == 1000
    packed = gzip.compress(body)
    assert len(proxied.post(EVENTS, content=packed, headers={"Content-Encoding": "gzip"}).json()["Results"]) == 1000


def test_a_body_over_the_limit_gets_the_documented_413_through_nginx(api: Api, proxied: Client) -> None:
    """Whether its length is announced, comes in chunks, or shows only when it is unpacked: JSON, and not nginx's page."""
    for over in (MIB + 1, 20 * MIB):
        answer = proxied.post(EVENT, content=b"x" * over)
        assert (answer.status_code, answer.json()["Errors"][0]["Code"]) == (413, 413)
    assert proxied.post(EVENT, content=(b"x" * MIB for _ in range(3))).json()["Errors"][0]["Code"] == 413
    unpacked = proxied.post(EVENT, content=gzip.compress(b"x" * (MIB + 1)), headers={"Content-Encoding": "gzip"})
    assert unpacked.json() == answer.json() == api.client.post(EVENT, content=b"x" * (MIB + 1)).json()
    assert proxied.post(EVENT, content=b" " * MIB).status_code == 400  # of just the size that may be


def test_nginx_keeps_its_connection_to_the_server(api: Api, proxied: Client) -> None:
    """A hundred requests over one client's connection leave no closed connections to the server behind."""
    before = closed_connections(api.served.port)
    for _ in range(100):
        assert proxied.track(**api.credentials.event(event="kept")).status_code == 200
    assert closed_connections(api.served.port) - before < 10


def closed_connections(port: int) -> int:
    """How many connections to a port the kernel remembers as closed (TIME_WAIT)."""
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    ends = f":{port:04X}"
    return sum(fields[3] == "06" and (fields[1].endswith(ends) or fields[2].endswith(ends)) for fields in lines)


def test_a_slow_sender_is_nginxs_to_wait_for(api: Api, proxied: Client) -> None:
    """A body that comes in two parts opens no connection to the server before all of it is there; then it is stored."""
    body = json.dumps(api.credentials.event(event="slow", id="slow")).encode()
    head = f"POST {EVENT} HTTP/1.1\r\nHost: events.example.com\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    before = open_connections(api.served.port)
    with socket.create_connection(("127.0.0.1", proxied.base_url.port or 0)) as connection:
        connection.sendall(head.encode() + body[:10])
        assert proxied.post(EVENT, content=b"{").status_code == 400  # nginx has had its turn meanwhile
        assert open_connections(api.served.port) <= before + 1  # this one's, which is kept
        connection.sendall(body[10:])
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 200 ")


def open_connections(port: int) -> int:
    """How many connections to a port there are."""
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(fields[3] == "01" and fields[2].endswith(f":{port:04X}") for fields in lines)


@pytest.fixture(scope="module")
def trusting(flavour: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """A server of each flavour that stores addresses, and believes a proxy on this machine."""
    db = tmp_path_factory.mktemp("trusting") / "events.duckdb"
    credentials = make_store(db)
    env = {"FALCON_EVENTS_CLIENT_ADDRESS": "full", "FALCON_EVENTS_TRUSTED_PROXIES": "127.0.0.1"}
    with serving(db, flavour, env=env) as served:
        yield Api(served, credentials)


def addresses(api: Api, event: str) -> dict[str | None, int]:
    """The addresses that events of a type have come from, and how many from each."""
    assert api.served.db is not None
    with EventTracking(api.served.db) as tracking:
        return Counter(one.client_address for _, one in tracking.latest(94, most=10_000) if one.event == event)


def test_a_clients_address_comes_through_nginx(trusting: Api, tmp_path: Path) -> None:
    """As its right-most entry says; what the client wrote there itself counts for nothing, with and without nginx."""
    event = trusting.credentials.event(event="claimed")
    claims = ({}, {"X-Forwarded-For": "203.0.113.9"}, {"X-Forwarded-For": "127.0.0.1, \xff, ,"}, {"X-Real-IP": "203.0.113.9"})
    with nginx(tmp_path, "nginx", trusting.served.port) as port:
        for url in (f"http://127.0.0.1:{port}", trusting.url):
            with client_of(url) as client:
                for claim in claims:
                    headers = [(name.encode(), value.encode("latin-1")) for name, value in claim.items()]
                    assert client.post(EVENT, json=event, headers=headers).status_code == 200
    assert addresses(trusting, "claimed") == {A_CLIENT: 2 * len(claims)}


def test_a_server_puts_several_headers_together(trusting: Api) -> None:
    """A proxy that adds a header of its own, instead of extending the client's, has the last word."""
    headers = [("X-Forwarded-For", "203.0.113.9"), ("X-Forwarded-For", "198.51.100.7")]
    assert trusting.client.post(EVENT, json=trusting.credentials.event(event="several"), headers=headers).status_code == 200
    assert addresses(trusting, "several") == {"198.51.100.7": 1}


SPELLINGS = ("X-Forwarded-For", "X_Forwarded_For", "X-Forwarded_For", "X_Forwarded-For", "x_forwarded_for", "x-forwarded_for")


def claiming(client: Client, event: dict[str, Any]) -> int:
    """Sends events of a client that claims another address in every spelling of the header; returns how many.

    In requests of different shapes, as the order in which a server reads headers depends on all of them.
    """
    body = json.dumps(event).encode()
    shapes: list[tuple[bytes | Iterator[bytes], dict[str, str]]]
    count = 0
    for spelling in SPELLINGS:
        shapes = [(body, {}), (body, {"Content-Type": "application/json"}), (body, {"Zz": "1"}), (iter([body]), {})]
        for content, headers in shapes:
            claim = {spelling: "203.0.113.9", **headers}
            assert client.post(EVENT, content=content, headers=claim).status_code == 200
            count += 1
    return count


@contextlib.contextmanager
def forwarding(port: int, target: int) -> Iterator[None]:
    """What a tunnel does, without SSH: connections to one port of this machine are passed on to another one."""

    def passed_on(source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)

    def accepted() -> None:
        with contextlib.suppress(OSError), contextlib.ExitStack() as connections:
            while True:
                near = connections.enter_context(listening.accept()[0])
                far = connections.enter_context(socket.create_connection(("127.0.0.1", target)))
                for pair in ((near, far), (far, near)):
                    threading.Thread(target=passed_on, args=pair, daemon=True).start()

    with socket.create_server(("127.0.0.1", port)) as listening:
        thread = threading.Thread(target=accepted)
        thread.start()
        try:
            yield
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()


# The tunnel ends before the server, which of the two it is makes no difference; Caddy tries for ten seconds.
@pytest.mark.parametrize(("flavour", "proxy"), [("asgi", "nginx"), ("wsgi", "caddy")], indirect=["flavour"])
def test_after_a_move_the_old_machines_proxy_asks_the_new_server(trusting: Api, tmp_path: Path, proxy: str) -> None:
    """Through the page's tunnel, as it is, with the new server's settings as they are; clients keep their addresses."""
    words = shlex.split(block("tunnel"))
    assert words[words.index("-L") + 1] == "127.0.0.1:8080:127.0.0.1:8080"  # what the proxies' blocks ask, and the unit has
    old = free_port()
    with (
        caddy(tmp_path, old) if proxy == "caddy" else nginx(tmp_path, "nginx", old) as port,
        client_of(f"http://127.0.0.1:{port}") as client,
    ):
        with forwarding(old, trusting.served.port):
            event = trusting.credentials.event(event=f"moved, {proxy}")
            assert client.post(EVENT, json=event).status_code == 200
        assert client.get("/healthz").status_code == 503  # as documented, when the tunnel breaks
    assert addresses(trusting, f"moved, {proxy}") == {A_CLIENT: 1}


@pytest.mark.parametrize("proxy", ["nginx", "caddy"])
def test_no_spelling_of_the_header_claims_an_address(flavour: str, trusting: Api, tmp_path: Path, proxy: str) -> None:
    """For a WSGI application X_Forwarded_For has the name of the proxy's own header: the proxy lets none of them through."""
    upstream = trusting.served.port
    with (
        caddy(tmp_path, upstream) if proxy == "caddy" else nginx(tmp_path, "nginx", upstream) as port,
        client_of(f"http://127.0.0.1:{port}") as client,
    ):
        count = claiming(client, trusting.credentials.event(event=f"spelled, {proxy}"))
    assert ("drop headers with _ in their names" in trusting.served.log()) == (flavour == "wsgi")
    assert addresses(trusting, f"spelled, {proxy}") == {A_CLIENT: count}


def test_a_limit_per_address_counts_clients_behind_nginx(one_flavour: str, tmp_path: Path) -> None:
    """One client's limit is not used up by another one's requests, nor got around by a header."""
    db = tmp_path / "events.duckdb"
    credentials = make_store(db)
    env = {"FALCON_EVENTS_RATE_LIMIT_PER_ADDRESS": "3", "FALCON_EVENTS_TRUSTED_PROXIES": "127.0.0.1"}
    with serving(db, one_flavour, env=env) as served, nginx(tmp_path, "nginx", served.port) as port:
        url = f"http://127.0.0.1:{port}"
        wait_for_a_minutes_rest()
        with client_of(url) as client:
            headers = [{"X-Forwarded-For": f"203.0.113.{number}"} for number in range(5)]
            statuses = [client.post(EVENT, json=credentials.event(), headers=each).status_code for each in headers]
        assert statuses == [200, 200, 200, 429, 429]
        with Client(base_url=url, transport=httpx.HTTPTransport(local_address="127.0.0.4")) as another:
            assert another.track(**credentials.event()).status_code == 200


def test_while_the_server_restarts_nginx_answers_as_documented(one_flavour: str, tmp_path: Path) -> None:
    """503 with Retry-After, in JSON: senders try again; with its EventID an event is stored once, whatever became of it."""
    db = tmp_path / "events.duckdb"
    credentials = make_store(db)
    event = credentials.event(EventID="0b9bd4d4-6d3f-4b7c-9a53-0d7e5f3b5a01")
    port = free_port()
    with nginx(tmp_path, "nginx", port) as front, client_of(f"http://127.0.0.1:{front}") as client:
        for is_duplicate in (None, "true"):
            down = client.track(**event)
            assert (down.status_code, down.headers["Retry-After"], down.json()["Errors"][0]["Code"]) == (503, "1", 503)
            with serving(db, one_flavour, port=port) as served:
                up = client.track(**event)
                assert (up.status_code, up.headers.get("X-Event-Duplicate")) == (200, is_duplicate)
                served.stop()


def test_below_a_prefix_of_nginx_all_is_as_at_the_root(api: Api, tmp_path: Path) -> None:
    """The API, the script, and a snippet for the prefix, whose script sends to the endpoint beside it."""
    with nginx(tmp_path, "nginx-prefix", api.served.port) as port, client_of(f"http://127.0.0.1:{port}/tracking") as client:
        assert client.track(**api.credentials.event(event="prefixed")).status_code == 200
        assert client.get("/tracker.js", headers={"Accept-Encoding": "gzip"}).content == load_script().body
        assert client.get("/tracker.js", params={"v": load_script().version}).headers["Cache-Control"].endswith("immutable")
        assert client.put(EVENT).headers["Allow"] == "POST"
        too_large = client.post(EVENT, content=b"x" * (MIB + 1))
        assert (too_large.status_code, too_large.json()["Errors"][0]["Code"]) == (413, 413)
        assert httpx.get(f"http://127.0.0.1:{port}/tracking/metrics").status_code == 404
        (source,) = re.findall(
            r'src="([^"]+)"', render_snippet(94, api.credentials.ingest, url=f"http://127.0.0.1:{port}/tracking")
        )
        assert client.get(source).content == load_script().body
        batch = {"APIKey": api.credentials.ingest, "Events": [api.credentials.event(APIKey=..., event="prefixed")]}
        assert client.post(urljoin(source, "api/v1/events"), json=batch).json()["Results"][0]["status"] == "success"


@pytest.mark.parametrize("name", ["falcon-wsgi", "falcon-asgi", "starlette-mounted"])
def test_an_application_that_has_mounted_a_tracker_stands_behind_nginx(tmp_path: Path, name: str) -> None:
    """Its prefix is the application's own; and the setting counts there, too."""
    env = {"FALCON_EVENTS_CLIENT_ADDRESS": "full", "FALCON_EVENTS_TRUSTED_PROXIES": "127.0.0.1"}
    with hosting(tmp_path / "host", name, **env) as host:
        with nginx(tmp_path, "nginx", host.served.port) as port, client_of(f"http://127.0.0.1:{port}{PREFIX}") as client:
            assert client.track(**host.credentials.event()).status_code == 200
        host.served.stop()
        with plain(host.db) as connection:
            ((address,),) = connection.execute("select client_address from events where event = 'test'").fetchall()
    assert address == A_CLIENT


def _has_certificate(root: Path, port: int) -> bool:
    context = ssl.create_default_context(cafile=str(root))
    try:
        with socket.create_connection(("127.0.0.1", port)) as raw, context.wrap_socket(raw, server_hostname="localhost"):
            return True
    except (ssl.SSLError, OSError):
        return False


def test_caddy_serves_https_in_front(one_flavour: str, tmp_path: Path) -> None:
    """With a certificate of its own authority here; a restart of the server is waited for, and a header is not believed."""
    db = tmp_path / "events.duckdb"
    credentials = make_store(db)
    port, upstream = free_port(), free_port()
    site = replaced(block("caddy"), **{"events.example.com {": f"https://localhost:{port} {{\n\ttls internal"})
    site = site.replace("127.0.0.1:8080", f"127.0.0.1:{upstream}").replace("lb_try_duration 10s", "lb_try_duration 1s")
    settings = {"FALCON_EVENTS_CLIENT_ADDRESS": "full", "FALCON_EVENTS_TRUSTED_PROXIES": "127.0.0.1"}
    with run_caddy(tmp_path, site, port):
        root = tmp_path / "data/caddy/pki/authorities/local/root.crt"
        wait_until(lambda: root.exists() and _has_certificate(root, port), "caddy has no certificate")
        transport = httpx.HTTPTransport(local_address=A_CLIENT, verify=ssl.create_default_context(cafile=str(root)))
        with Client(base_url=f"https://localhost:{port}", timeout=60, transport=transport) as client:
            down = client.track(**credentials.event())
            assert (down.status_code, down.headers["Retry-After"], down.json()["Errors"][0]["Code"]) == (503, "1", 503)
            with serving(db, one_flavour, env=settings, port=upstream) as served:
                answer = client.post(EVENT, json=credentials.event(), headers={"X-Forwarded-For": "203.0.113.9"})
                assert answer.status_code == 200
                too_large = client.post(EVENT, content=b"x" * (3 * MIB))
                assert (too_large.status_code, too_large.json()["Errors"][0]["Code"]) == (413, 413)
                assert httpx.get(f"{served.url}/metrics").status_code == 200
                assert httpx.Client(transport=transport).get(f"https://localhost:{port}/metrics").status_code == 404
                served.stop()
    with plain(db) as connection:
        ((address,),) = connection.execute("select client_address from events where event = 'test'").fetchall()
    assert address == A_CLIENT
