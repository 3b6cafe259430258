"""The tracker's script as it is served and shipped, and the snippet that embeds it."""

from __future__ import annotations

import gzip
import subprocess
import sys
from pathlib import Path

import falcon
import falcon.asgi
import falcon.testing
import pytest

from falcon_events import EventsError, EventTracking, NotFound, SettingError
from falcon_events.assets.snippet import render_snippet
from falcon_events.assets.tracker import load_script
from falcon_events.http import ASGIMiddleware, WSGIMiddleware, mount
from tests.conftest import Api
from tests.harness import Credentials, serving
from tests.shortcuts import make_store

ROOT = Path(__file__).parents[2]
MOST_BYTES = 3_000
ANOTHER_HOST = "https://events.example.com"


def test_the_script_is_small() -> None:
    """At most 3 kB on the wire."""
    assert len(load_script().gzipped) <= MOST_BYTES
    assert gzip.decompress(load_script().gzipped) == load_script().body


@pytest.mark.checkout
def test_the_script_is_made_of_its_source() -> None:
    """The minified file is what the pinned tool makes of the readable one."""
    subprocess.run([sys.executable, "tools/minify_tracker.py", "--check"], cwd=ROOT, check=True)


def test_browsers_keep_the_script(api: Api) -> None:
    """For a day, or for ever where the address names the content; then they are told that nothing has changed."""
    path, version = "/tracker.js", load_script().version
    plain = api.client.get(path, headers={"Accept-Encoding": "identity"})
    assert (plain.content, plain.headers["Content-Type"]) == (load_script().body, "text/javascript; charset=utf-8")
    assert plain.headers["Cache-Control"] == "public, max-age=86400"
    assert plain.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
    assert plain.headers["X-Content-Type-Options"] == "nosniff"
    assert "Content-Encoding" not in plain.headers
    zipped = api.client.get(path, params={"v": version}, headers={"Accept-Encoding": "br;q=1.0, gzip;q=0.8"})
    assert (zipped.content, zipped.headers["Content-Encoding"]) == (load_script().body, "gzip")
    assert int(zipped.headers["Content-Length"]) == len(load_script().gzipped)
    assert zipped.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert zipped.headers["Vary"] == "Accept-Encoding"
    refused = api.client.get(path, headers={"Accept-Encoding": "gzip;q=0, deflate"})
    assert "Content-Encoding" not in refused.headers
    again = api.client.get(path, headers={"If-None-Match": plain.headers["ETag"]})
    assert (again.status_code, again.headers["ETag"]) == (304, plain.headers["ETag"])
    changed = api.client.get(path, headers={"If-None-Match": '"another"'})
    assert changed.status_code == 200
    head = api.client.head(path, headers={"Accept-Encoding": "identity"})
    assert (head.status_code, head.content) == (200, b"")
    assert api.client.post(path).status_code == 405


def test_the_script_has_a_path_of_the_owners_own(one_flavour: str, db: Path) -> None:
    """So that no blocker's list has it; or none at all. The variable is that of the command."""
    make_store(db)
    with serving(db, one_flavour, env={"FALCON_EVENTS_TRACKER_PATH": "/assets/s.js"}) as served:
        assert served.client.get("/assets/s.js").content == load_script().body
        assert served.client.get("/tracker.js").status_code == 404
    for path, status in (("/assets/s.js", 200), ("", 404)):
        with EventTracking(db, tracker_path=path) as tracking:
            for app in (falcon.App(), falcon.asgi.App()):
                mount(app, tracking, prefix="/stats")
                assert falcon.testing.simulate_get(app, "/stats/assets/s.js").status_code == status
                assert falcon.testing.simulate_get(app, "/stats/tracker.js").status_code == 404


@pytest.mark.parametrize("path", ["tracker.js", "/", "/a b", "/healthz", "/api/v1/event", "/tracker", "/a?b"])
def test_a_path_that_cannot_be_is_refused(path: str) -> None:
    """With the setting's name."""
    with pytest.raises(SettingError, match="tracker_path"):
        EventTracking(tracker_path=path)


def test_a_mounted_tracker_serves_the_script(tracking: EventTracking) -> None:
    """Below the prefix, beside the endpoints, of either kind."""
    path = "/stats/tracker.js"
    for app in (falcon.App(), falcon.asgi.App()):
        mount(app, tracking, prefix="/stats")
        assert falcon.testing.simulate_get(app, path).content == load_script().body
    for wrapped in (
        WSGIMiddleware(falcon.App(), tracking, prefix="/stats"),
        ASGIMiddleware(falcon.asgi.App(), tracking, prefix="/stats"),  # type: ignore[arg-type]
    ):
        answer = falcon.testing.simulate_get(wrapped, path)
        assert answer.content == load_script().body
        assert falcon.testing.simulate_get(wrapped, "/tracker.js").status_code == 404


def test_the_snippet_makes_a_key_that_is_bound(tracking: EventTracking, credentials: Credentials) -> None:
    """To the list, and to the origins that are given."""
    text = tracking.snippet(credentials.list_id, url=ANOTHER_HOST, origins=["https://shop.example.com"])
    assert f'src="{ANOTHER_HOST}/tracker.js?v={load_script().version}"' in text
    assert f'data-list="{credentials.list_id}"' in text
    made = tracking.directory.keys()[-1]
    assert (made.scope, made.origins, made.list_ids) == ("ingest", ["https://shop.example.com"], [credentials.list_id])
    count = len(tracking.directory.keys())
    for wrong in ({"url": "example.com"}, {"storage": "disk"}, {"colour": "red"}, {"key": "k", "origins": ["https://a.b"]}):
        with pytest.raises(EventsError):
            tracking.snippet(credentials.list_id, **wrong)  # type: ignore[arg-type]
    with pytest.raises(NotFound):
        tracking.snippet(4711)
    assert len(tracking.directory.keys()) == count


def test_a_snippet_is_safe_html_and_finds_the_endpoint() -> None:
    """Whatever stands in its arguments; below a path of its own the endpoint is not beside the script."""
    text = render_snippet(94, 'fe"><script>', path="/assets/s.js", url=ANOTHER_HOST, nonce='"x')
    assert "fe&quot;&gt;&lt;script&gt;" in text
    assert text.count('nonce="&quot;x"') == 2
    assert f'data-endpoint="{ANOTHER_HOST}/api/v1/events"' in text
    assert "data-endpoint" not in render_snippet(94, "key", url=ANOTHER_HOST + "/mounted")


def test_on_the_pages_own_host_the_prefix_alone_says_where_the_script_is(tracking: EventTracking) -> None:
    """A page that the mounted application itself serves need not know its own host; another host needs a scheme."""
    assert 'src="/tracking/tracker.js?v=' in tracking.snippet(94, "key", url="/tracking")
    for wrong in ("//shop.example.com", "tracking", "/a b", '/"'):
        with pytest.raises(EventsError, match="such as /tracking"):
            tracking.snippet(94, "key", url=wrong)
