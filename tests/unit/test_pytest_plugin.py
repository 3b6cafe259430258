"""The pytest plugin, as a host application's tests use it: real runs of pytest, in folders of their own."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.harness import pytest_environment, unmeasured_environment

PREAMBLE = """
import asyncio
from datetime import datetime, timedelta, timezone
import pytest
"""


TRACKED = """
@pytest.mark.parametrize("total", [42, 43])
def test_checkout(falcon_events, total):
    assert falcon_events.events == []
    tracking, ada = falcon_events.tracking, "ada@example.com"
    properties = {"total": total, "cart": {"items": 2, "x": [1]}}
    tracking.track(falcon_events.list_id, "checkout", email=ada, properties=properties)
    some = {"total": total, "cart": {"items": 2}}
    found = falcon_events.assert_tracked("checkout", email=ada, properties=some, times=1)
    assert found.list_id == falcon_events.list_id
    assert [event.event for event in falcon_events.events] == ["identify", "checkout"]
    falcon_events.assert_not_tracked("checkout", email="bob@example.com")
    falcon_events.assert_not_tracked("checkout", properties={"total": 1})
    falcon_events.assert_not_tracked("checkout", list_id=falcon_events.create_list("other"))
    assert tracking.properties(falcon_events.list_id)["checkout"] == ["cart", "total"]
    with pytest.raises(AssertionError):
        falcon_events.assert_tracked("checkout", properties={"total": total}, exact=True)
    with pytest.raises(AssertionError):
        falcon_events.assert_tracked("checkout", properties={"cart": {"items": True}})
"""
VALUES = """
from unittest.mock import ANY

@pytest.mark.parametrize("wanted", [
    {"yes": True}, {"yes": ANY}, {"n": ANY, "none": ANY}, {"n": 1.0}, {"list": ANY}, {"list": [True, {"a": 1, "b": [0]}]},
    {"list": [ANY, {"a": ANY, "b": [ANY]}]},
])
def test_matches(falcon_events, wanted):
    falcon_events.assert_tracked("x", id=42, properties=wanted)

@pytest.mark.parametrize("wanted", [
    {"yes": 1}, {"yes": 1.0}, {"n": True}, {"list": [1, {"a": 1, "b": [0]}]}, {"list": [True, {"a": True, "b": [0]}]},
    {"list": [True, {"a": 1, "b": [False]}]}, {"list": [True]}, {"list": [True, {"a": 1}]}, {"gone": ANY},
])
def test_differs(falcon_events, wanted):
    falcon_events.assert_not_tracked("x", properties=wanted)

def test_ids(falcon_events):
    falcon_events.assert_tracked("x", id="42")
    falcon_events.assert_tracked("x", id=ANY)
    falcon_events.assert_not_tracked("x", id=43)

@pytest.fixture(autouse=True)
def tracked(falcon_events):
    properties = {"yes": True, "n": 1, "none": "", "list": [True, {"a": 1, "b": [0]}]}
    falcon_events.tracking.track(falcon_events.list_id, "x", email="a@example.com", id=42, properties=properties)
"""
CLOCK = """
def test_time(falcon_events):
    clock, list_id = falcon_events.clock, falcon_events.list_id
    clock.set(datetime(2030, 1, 2, 3, 4, 5, tzinfo=timezone.utc))
    falcon_events.tracking.track(list_id, "first", email="a@example.com", event_id="9d0b0e8f-0e6f-4c4d-8e9a-560e2f6b1f7a")
    clock.advance(60)
    clock.advance(timedelta(hours=1))
    falcon_events.tracking.track(list_id, "second", email="a@example.com")
    first, second = falcon_events.assert_tracked("first"), falcon_events.assert_tracked("second")
    assert first.timestamp == datetime(2030, 1, 2, 3, 4, 5, tzinfo=timezone.utc)
    assert second.timestamp == clock.now == first.timestamp + timedelta(seconds=3660)
    again = dict(email="a@example.com", event_id="9d0b0e8f-0e6f-4c4d-8e9a-560e2f6b1f7a")
    assert falcon_events.tracking.track(list_id, "first", **again).duplicate
    clock.advance(timedelta(hours=47))
    assert not falcon_events.tracking.track(list_id, "first", **again).duplicate
    clock.set(datetime(2031, 1, 1))
    assert clock.now == datetime(2031, 1, 1, tzinfo=timezone.utc)
"""
HOOKS = """
import json
from falcon_events import EventRefused, RequestRefused

def test_hooks(falcon_events):
    def refuse(event):
        if event.event == "bad":
            raise EventRefused("no")
        event.properties["seen"] = True

    committed = []
    tracking = falcon_events.make_tracking(before_store=[refuse], after_commit=committed.extend)
    tracking.track(falcon_events.list_id, "good", email="a@example.com")
    with pytest.raises(RequestRefused):
        tracking.track(falcon_events.list_id, "bad", email="a@example.com")
    falcon_events.assert_tracked("good", properties={"seen": True}, exact=True)
    falcon_events.assert_not_tracked("bad")
    tracking.close()
    assert [event.event for event in committed] == ["good"]

def test_plan(falcon_events, tmp_path):
    (tmp_path / "checkout.json").write_text(json.dumps({"type": "object", "required": ["total"]}))
    tracking = falcon_events.make_tracking(plan=tmp_path, plan_violations="reject")
    with pytest.raises(RequestRefused):
        tracking.track(falcon_events.list_id, "checkout", email="a@example.com", properties={})
    tracking.track(falcon_events.list_id, "checkout", email="a@example.com", properties={"total": 1})
    falcon_events.assert_tracked("checkout", times=1)
"""
FORK = """
import os
from falcon_events import StoreUnavailable

def test_fork(falcon_events):
    falcon_events.tracking.track(falcon_events.list_id, "before", email="a@example.com")
    child = os.fork()
    if child == 0:
        try:
            falcon_events.tracking.track(falcon_events.list_id, "child", email="a@example.com")
        except StoreUnavailable:
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
    falcon_events.assert_not_tracked("child")
"""
CLOSEST = """
def test_checkout(falcon_events):
    track, list_id = falcon_events.tracking.track, falcon_events.list_id
    track(list_id, "signup", email="ada@example.com")
    track(list_id, "checkout", email="ada@example.com", properties={"total": 41, "cart": {"items": 2}})
    wanted = {"total": 42, "cart": {"items": 3}, "plan": "free"}
    falcon_events.assert_tracked("checkout", email="bob@example.com", properties=wanted)
"""
FREEZING = """
import freezegun


@pytest.fixture(autouse=True)
def frozen():
    with freezegun.freeze_time("2030-01-01") as frozen:
        yield frozen


"""
FROZEN = """
from dataclasses import dataclass
from datetime import date

import freezegun
from falcon_events import event


@event("order")
@dataclass
class Order:
    at: datetime
    day: date


def test_all_of_it(falcon_events):
    with freezegun.freeze_time("2030-01-01") as frozen:
        tracking, list_id, key = falcon_events.tracking, falcon_events.list_id, falcon_events.api_key
        tracking.track(list_id, "x", email="a@example.com", api_key=key)
        assert falcon_events.assert_tracked("x").timestamp == falcon_events.clock.now
        falcon_events.clock.set(datetime.now(timezone.utc))
        tracking.track(list_id, "y", email="a@example.com")
        assert falcon_events.assert_tracked("y").timestamp == datetime(2030, 1, 1, tzinfo=timezone.utc)
        frozen.tick(3600)
        session = tracking.directory.create_session("test", 60)
        tracking.track(list_id, "z", email="a@example.com", session_id=session)
        tracking.directory.revoke_session(session)
        assert [found.name for found in tracking.directory.lists()] == ["test"]
        tracking.directory.revoke_key(key)
        assert all(found.revoked_at for found in tracking.directory.keys())
        assert tracking.stats().events == 4
        tracking.track(list_id, Order(datetime.now(timezone.utc), date.today()), email="a@example.com")
        falcon_events.assert_tracked("order", properties={"at": "2030-01-01T01:00:00Z", "day": "2030-01-01"}, exact=True)


@freezegun.freeze_time("2031-01-01")
def test_decorated(falcon_events):
    falcon_events.tracking.track(falcon_events.list_id, "x", email="a@example.com")
    falcon_events.assert_tracked("x")
"""
HOSTS = """
import falcon, falcon.asgi, falcon.testing, httpx
from flask import Flask
from fastapi import FastAPI
import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # newer releases of Starlette would like to have another client than httpx
    from fastapi.testclient import TestClient
from falcon_events.http import ASGIMiddleware, WSGIMiddleware, asgi_app, mount

BODY = {"event": "checkout", "email": "ada@example.com", "properties": {"total": 42}}


def body(falcon_events):
    return {**BODY, "APIKey": falcon_events.api_key, "ListID": falcon_events.list_id}


@pytest.mark.parametrize("kind", [falcon.App, falcon.asgi.App])
def test_falcon(falcon_events, kind):
    app = kind()
    mount(app, falcon_events.tracking, prefix="/t")
    client = falcon.testing.TestClient(app)
    assert client.simulate_post("/t/api/v1/event", json=body(falcon_events)).status_code == 200
    falcon_events.assert_tracked("checkout", properties={"total": 42})


def test_flask(falcon_events):
    app = Flask(__name__)
    app.wsgi_app = WSGIMiddleware(app.wsgi_app, falcon_events.tracking)
    assert app.test_client().post("/api/v1/event", json=body(falcon_events)).status_code == 200
    falcon_events.assert_tracked("checkout", properties={"total": 42})


def test_fastapi_whose_shutdown_closes_the_tracker(falcon_events):
    app = FastAPI()
    for _ in range(2):
        with TestClient(ASGIMiddleware(app, falcon_events.tracking)) as client:
            assert client.post("/api/v1/event", json=body(falcon_events)).status_code == 200
    falcon_events.assert_tracked("checkout", properties={"total": 42}, times=2)


def test_coroutines(falcon_events):
    async def main():
        transport = httpx.ASGITransport(asgi_app(falcon_events.tracking))
        async with httpx.AsyncClient(transport=transport, base_url="http://host") as client:
            answers = await asyncio.gather(*(client.post("/api/v1/event", json=body(falcon_events)) for _ in range(20)))
        assert {answer.status_code for answer in answers} == {200}
        await falcon_events.tracking.atrack(falcon_events.list_id, "checkout", email="ada@example.com")
    asyncio.run(main())
    falcon_events.assert_tracked("checkout", times=21)


def test_the_hosts_own_access_and_settings(falcon_events):
    class Access:
        def identify(self, credential):
            return "shop" if credential.secret == "cookie" else None

        def owns_list(self, account, list_id):
            return (account, list_id) == ("shop", 7)

    app = falcon.App()
    mount(app, falcon_events.make_tracking(access=Access(), anonymous_events=True))
    client = falcon.testing.TestClient(app)
    for session, list_id, status in (("cookie", 7, 200), ("cookie", 8, 422), ("other", 7, 401)):
        given = {"SessionID": session, "ListID": list_id, "event": "view"}
        assert client.simulate_post("/api/v1/event", json=given).status_code == status
    falcon_events.assert_tracked("view", list_id=7, times=1)
"""
OTHER_FAILURES: list[tuple[str, list[str]]] = [
    ('assert_tracked("chekout")', ["not tracked: 'chekout'", "event: 'checkout', expected 'chekout'"]),
    ('assert_tracked("checkout", times=2)', ["tracked 1 times, expected 2: 'checkout'"]),
    ('assert_tracked("checkout", properties={}, exact=True)', ["properties['total']: 42, not expected"]),
    ('assert_tracked("checkout", times=0)', ["ValueError: times=0", "assert_not_tracked()"]),
    ('assert_not_tracked("checkout")', ["tracked 1 times, expected never: 'checkout'", "properties={'total': 42}"]),
]
"""Assertions about an event `checkout` that fail, and words of their messages."""
OTHER = """
def test_checkout(falcon_events):
    falcon_events.tracking.track(falcon_events.list_id, "checkout", email="a@example.com", properties={{"total": 42}})
    falcon_events.{}
"""
NOTHING = "\ndef test_nothing(falcon_events):\n    falcon_events.assert_tracked('checkout')\n"
DOCUMENTED = (Path(__file__).parents[2] / "docs" / "testing.md").read_text()
BLOCKS = re.findall(r"^```py\n(.*?)^```", DOCUMENTED, re.MULTILINE | re.DOTALL)
WANTED = 'properties={"cart": {"items": 2}}'
SHOWN = BLOCKS[0].replace(f'email="ada@example.com", {WANTED}', 'email="bob@example.com", properties={"total": 41}')
"""The test whose failure docs/testing.md shows."""
HOSTED = {
    **{
        name: PREAMBLE + code
        for name, code in {
            "tracked": TRACKED,
            "closest": CLOSEST,
            "values": VALUES,
            "nothing": NOTHING,
            "clock": CLOCK,
            "frozen": FROZEN,
            "hooks": HOOKS,
            "hosts": HOSTS,
            "fork": FORK,
            "shown": SHOWN,
        }.items()
    },
    **{f"other_{number}": PREAMBLE + OTHER.format(assertion) for number, (assertion, _) in enumerate(OTHER_FAILURES)},
    **{f"block_{number}": block for number, block in enumerate(BLOCKS)},
}
"""Modules of a host application's tests, by name."""


def run_pytest(
    folder: Path, *options: str, plugins: Sequence[str] = ("falcon_events.pytest_plugin", "xdist.plugin")
) -> subprocess.CompletedProcess[str]:
    """Runs the modules of a folder to their end, with these plugins only; without any, with all that are installed."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error", *options, str(folder)]
    environment = pytest_environment(*plugins)
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def passes(folder: Path, code: str, *options: str, count: int) -> None:
    """Asserts that every test of a module passes, in a run of its own."""
    (folder / "test_host.py").write_text(PREAMBLE + code)
    done = run_pytest(folder, *options)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{count} passed" in done.stdout


@dataclass
class Outcome:
    """What a run has made of a module: how many tests have passed, and the texts of those that have failed."""

    passed: int = 0
    failed: list[str] = field(default_factory=list)

    def passes(self, count: int) -> None:
        """Asserts that so many tests have passed, and no other."""
        assert (self.failed, self.passed) == ([], count)

    def fails_with(self) -> list[str]:
        """The lines of the error that the module's one test has ended with."""
        assert (self.passed, len(self.failed)) == (0, 1)
        return [line[1:].strip() for line in self.failed[0].splitlines() if re.match(r"E\s", line)]


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    """The outcomes of HOSTED, by the names of the modules: one run has them all, as a run for each would take much longer."""
    folder = tmp_path_factory.mktemp("hosted")
    for name, code in HOSTED.items():
        (folder / f"test_{name}.py").write_text(code)
    done = run_pytest(folder, "--junitxml=report.xml")
    assert done.returncode == 1, done.stdout + done.stderr
    found = {name: Outcome() for name in HOSTED}
    for case in ElementTree.parse(folder / "report.xml").iter("testcase"):
        outcome = found[case.attrib["classname"].removeprefix("test_")]
        outcome.passed += not len(case)
        outcome.failed += [problem.text or "" for problem in case]
    return found


def test_the_fixture_is_there_once_the_package_is_installed(tmp_path: Path) -> None:
    """Without a line of configuration, and beside every other installed plugin."""
    (tmp_path / "test_host.py").write_text("def test_nothing(falcon_events):\n    falcon_events.assert_not_tracked('x')\n")
    done = run_pytest(tmp_path, plugins=())
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout


def test_what_was_tracked_can_be_asserted(outcomes: dict[str, Outcome]) -> None:
    """By type, visitor, list and some of its properties; every test has a store of its own."""
    outcomes["tracked"].passes(2)


def test_a_failure_shows_the_closest_event_and_what_differs(outcomes: dict[str, Outcome]) -> None:
    """Line by line, and what else there is."""
    lines = outcomes["closest"].fails_with()
    assert [line for line in lines if line] == [
        "AssertionError: not tracked: 'checkout', email='bob@example.com', "
        "properties={'total': 42, 'cart': {'items': 3}, 'plan': 'free'}",
        "the closest of 3 events is 'checkout', number 3:",
        "email: 'ada@example.com', expected 'bob@example.com'",
        "properties['total']: 41, expected 42",
        "properties['cart']['items']: 2, expected 3",
        "properties['plan']: missing, expected 'free'",
        "tracked: identify (1), signup (1), checkout (1)",
    ]


@pytest.mark.parametrize("number", range(len(OTHER_FAILURES)))
def test_other_failures_are_as_plain(outcomes: dict[str, Outcome], number: int) -> None:
    """A misspelt type, a wrong number, too much, and what should not be there."""
    text = "\n".join(outcomes[f"other_{number}"].fails_with())
    for expected in OTHER_FAILURES[number][1]:
        assert expected in text


def test_values_match_as_json_has_them_and_matchers_as_they_say(outcomes: dict[str, Outcome]) -> None:
    """True is not 1, in lists neither; mock.ANY is anything; an owner's id may be a number, as for track()."""
    outcomes["values"].passes(17)


def test_nothing_tracked_is_said_plainly(outcomes: dict[str, Outcome]) -> None:
    """Where there is no closest event."""
    assert "nothing was tracked" in outcomes["nothing"].fails_with()


def test_the_clock_is_the_tests(outcomes: dict[str, Outcome]) -> None:
    """Events happen when the clock says; it stands still, and the rules of time go by it."""
    outcomes["clock"].passes(1)


def test_frozen_time_is_no_obstacle(outcomes: dict[str, Outcome], tmp_path: Path) -> None:
    """A class of freezegun stands in the place of `datetime` while a test runs, or before the package is imported."""
    outcomes["frozen"].passes(2)
    passes(tmp_path, FREEZING + FROZEN, count=2)


def test_hooks_and_a_plan_are_tested_as_they_are(outcomes: dict[str, Outcome]) -> None:
    """make_tracking() takes them as EventTracking does."""
    outcomes["hooks"].passes(2)


def test_hosts_are_tested_as_they_are(outcomes: dict[str, Outcome]) -> None:
    """Falcon, Flask, FastAPI and coroutines; what a shutdown closes can still be looked at."""
    outcomes["hosts"].passes(6)


def test_several_processes_have_stores_of_their_own(tmp_path: Path) -> None:
    """With pytest-xdist."""
    passes(tmp_path, TRACKED, "-n", "2", count=2)


@pytest.mark.needs("strace")
def test_nothing_touches_the_disk(tmp_path: Path) -> None:
    """No file is opened for writing, made, renamed or removed, whoever asks the system; and no process is started."""
    (tmp_path / "script.py").write_text(
        """
from falcon_events.testing.fixture import FalconEvents

with FalconEvents() as events:
    for number in range(3000):
        events.tracking.track(events.list_id, "checkout", email="a@example.com", properties={"n": number, "text": "x" * 1000})
    events.assert_tracked("checkout", properties={"n": 2999})
    events.tracking.properties(events.list_id)
    events.tracking.metrics()
    events.tracking.stats()
    assert events.tracking.health() is None
"""
    )
    calls = "trace=open,openat,creat,mkdir,mkdirat,unlink,unlinkat,rename,renameat,renameat2,execve"
    command = ["strace", "-f", "--seccomp-bpf", "-qq", "-e", calls, "-o", "calls", sys.executable, "script.py"]
    environment = unmeasured_environment(PYTHONDONTWRITEBYTECODE="1")
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = (tmp_path / "calls").read_text().splitlines()
    changing = [line for line in lines if re.search(r"O_WRONLY|O_RDWR|O_CREAT|creat\(|mkdir|unlink|rename", line)]
    assert [line for line in changing if "/dev/" not in line] == []
    assert sum("execve(" in line for line in lines) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["calls", "script.py"]


def test_a_forked_child_is_told(outcomes: dict[str, Outcome]) -> None:
    """The store is the test's process's: a child gets a refusal instead of waiting for ever."""
    outcomes["fork"].passes(1)


def test_the_documentations_examples_pass(outcomes: dict[str, Outcome]) -> None:
    """Every block of docs/testing.md is a module of tests as it stands; the failure that it shows is the one that comes."""
    assert len(BLOCKS) == 4
    for number in range(4):
        outcomes[f"block_{number}"].passes(1)
    (shown,) = re.findall(r"^```text\n(.*?)^```", DOCUMENTED, re.MULTILINE | re.DOTALL)
    assert outcomes["shown"].fails_with() == [line.strip() for line in shown.splitlines()]
