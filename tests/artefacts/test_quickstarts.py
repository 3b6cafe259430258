"""The five-minute starts: what each page says, done from its first line to its last."""

from __future__ import annotations

import json
import re
from pathlib import Path

import httpx
import pytest

from tests.harness import Served
from tests.pages import ROOT, VISITOR, Walk, visit

FOLDER = ROOT / "docs" / "start"
STARTS = ("django.md", "falcon.md", "fastapi.md", "flask.md", "standalone.md", "starlette.md")
FRAMEWORKS = tuple(name for name in STARTS if name != "standalone.md")


def test_every_start_is_followed() -> None:
    """A new page needs a line here."""
    assert {page.name for page in FOLDER.iterdir()} == set(STARTS)


@pytest.mark.needs("curl")
@pytest.mark.parametrize("name", STARTS)
def test_a_start_leads_to_stored_events(name: str, tmp_path: Path) -> None:
    """Its files and commands work as they stand, and its answers are those shown; a visit of its page is tracked."""
    page = FOLDER / name
    walker = Walk(page, tmp_path)
    walker.write_files()
    walker.prepare()
    (server,) = walker.servers()
    with walker.serving(server) as served:
        assert walker.ask() == 2
        if page.stem != "standalone":
            visit(served)
            look_at_dashboard(page.read_text(), served, walker.env["KEY"])
        *first, last = walker.rest()
        for script in first:
            assert 'src="http' in walker.run(script)  # only the standalone server's page prints a snippet
        seen = walker.run(last)
        assert seen.count("signup") == 2
        assert seen.count("pageView") == (0 if page.stem == "standalone" else 2)


def look_at_dashboard(text: str, served: Served, key: str) -> None:
    """Open the dashboard at the address that a page names, and sign in with the key that it creates."""
    (path,) = re.findall(r"<http://127\.0\.0\.1:8000(/\S*/dashboard/)>", text)
    with httpx.Client(follow_redirects=True, timeout=60) as browser:
        form = browser.get(served.url + path)
        (token,) = re.findall(r'name="token" value="([0-9a-f]+)"', form.text)
        seen = browser.post(str(form.url), data={"key": key, "token": token})
        assert (seen.status_code, seen.url.path) == (200, path)
        assert "Customers (1)" in seen.text


@pytest.mark.parametrize("name", STARTS)
def test_a_starts_links_lead_somewhere(name: str) -> None:
    """Every relative link names a file that is there."""
    page = FOLDER / name
    targets = [target for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()) if "://" not in target]
    assert targets
    for target in targets:
        assert (page.parent / target).exists(), target


@pytest.mark.needs("curl")
@pytest.mark.parametrize("name", FRAMEWORKS)
def test_a_person_stays_one_visitor_from_the_page_to_the_sign_up(name: str, tmp_path: Path) -> None:
    """The page view of a browser, and the sign-up that it sends, are of one visitor; other requests are not stopped by tracking.

    A tampered cookie, a mistyped address and no address at all are answered as every sign-up is.
    """
    walker = Walk(FOLDER / name, tmp_path)
    walker.write_files()
    walker.prepare()
    (server,) = walker.servers()
    sign_up = next(script for script, _ in walker.questions() if "/signup" in script)

    def send(cookie: str, address: str) -> tuple[str, object]:
        script = sign_up.replace("ada@example.com", address).replace("curl ", f"curl -w '\n%{{http_code}}' -b oct_uuid={cookie} ")
        body, _, status = walker.run(script).strip().rpartition("\n")
        return status, json.loads(body)["visitor"]

    with walker.serving(server) as served:
        visit(served)  # as VISITOR
        assert send(VISITOR, "ada@example.com") == ("200", VISITOR)
        status, other = send("tampered", "grace@example.com")
        assert (status, other != VISITOR) == ("200", True)
        assert send("tampered", "ada@") == ("200", None)
        assert send("''", "") == ("200", None)
        assert send(VISITOR, "ada.example.com") == ("200", None)
        seen = walker.run(
            f"""falcon-events sql --format csv "select event, email from events where visitor = '{VISITOR}' order by seq" """
        )
    assert seen.splitlines()[1:] == ["pageView,", "identify,ada@example.com", "signup,ada@example.com"]
    log = (tmp_path / "server.log").read_text()
    assert log.count("was not tracked") == 3
    assert "Traceback" not in log
