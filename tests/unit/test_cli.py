"""The commands that manage a store and look into it; every error is one line."""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import duckdb
import pytest

import falcon_events
from falcon_events import EventTracking
from falcon_events.cli.main import cli
from tests import harness, shortcuts
from tests.harness import command
from tests.shortcuts import make_store

DOCUMENTATION = Path(__file__).parents[2] / "docs" / "cli.md"


def run(*arguments: str, db: Path, code: int = 0) -> str:
    """Runs a command on a store; what it printed."""
    done = shortcuts.command(*arguments, "--db", str(db))
    assert done.returncode == code, done.stderr.decode()
    assert b"Traceback" not in done.stderr
    return done.stdout.decode()


def refusal(*arguments: str, env: dict[str, str] | None = None, stdin: bytes = b"") -> str:
    """Runs a command that must fail; its one line on standard error."""
    is_server = arguments[0] == "serve"  # where it is not refused, this process would serve
    done = (harness if is_server else shortcuts).command(*arguments, env=env, stdin=stdin)
    assert done.returncode == 2, (done.stdout, done.stderr)
    text = done.stderr.decode()
    assert text.count("\n") == 1, text
    assert text.startswith("falcon-events: ")
    assert done.stdout == b""
    return text


@pytest.fixture
def opened(db: Path) -> Iterator[Path]:
    """A store that a command has made for the account alice. It stays open, so that no command has to start its owner anew."""
    assert json.loads(run("accounts", "create", "alice", "--json", db=db))["name"] == "alice"
    with EventTracking(db):
        yield db


def test_a_store_is_set_up_by_commands_and_its_key_tracks(opened: Path) -> None:
    """accounts, lists and keys create what a request needs; the JSON forms carry ids and the key."""
    db = opened
    assert (
        json.loads(run("lists", "create", "--account", "alice", "--name", "main", "--id", "94", "--json", db=db))["list_id"] == 94
    )
    assert json.loads(run("lists", "create", "--account", "alice", "--name", "next", "--json", db=db))["list_id"] == 95
    key = json.loads(run("keys", "create", "--account", "alice", "--scope", "ingest", "--json", db=db))["key"]
    session = json.loads(run("sessions", "create", "--account", "alice", "--ttl-s", "60", "--json", db=db))["session_id"]
    with EventTracking(db) as tracking:
        assert tracking.track(94, "test", email="a@example.com", api_key=key).identify_event_sent
        assert not tracking.track(95, "test", uuid="00000000-0000-4000-8000-000000000000", session_id=session).duplicate
    stats = json.loads(run("stats", "--json", db=db))
    assert stats["events"] == 3
    assert [(found["list_id"], found["event"]) for found in stats["by_type"]] == [
        (94, "identify"),
        (94, "test"),
        (95, "test"),
    ]
    assert {"file_bytes", "oldest", "newest", "unfolded_events"} <= stats.keys()
    found = json.loads(run("properties", "--list", "94", "--json", db=db))
    assert found == {"ListID": "94", "Properties": {"identify": ["emailAddress"], "test": []}}
    assert json.loads(run("properties", "--list", "94", "--recount", "--json", db=db))["differs"] is False


def test_a_new_store_is_readable_for_its_owner_only(db: Path) -> None:
    """Addresses and hashes of keys are nobody else's business on a shared machine."""
    run("accounts", "create", "alice", db=db)
    assert db.stat().st_mode & 0o077 == 0


def test_a_key_is_shown_once_and_ends_when_it_is_revoked(opened: Path) -> None:
    """Keys list shows ids and scopes, never the key; keys revoke takes the id or the key itself."""
    db = opened
    by_id = json.loads(run("keys", "create", "--account", "alice", "--json", db=db))
    by_key = run("keys", "create", "--account", "alice", "--scope", "read", db=db).strip()
    for text in (run("keys", "list", db=db), run("keys", "list", "--json", db=db)):
        assert by_id["key_id"] in text
        assert by_id["key"] not in text
        assert by_key not in text
    run("keys", "revoke", by_id["key_id"], db=db)
    run("keys", "revoke", by_key, db=db)
    assert all(key["revoked_at"] for key in json.loads(run("keys", "list", "--json", db=db)))


def test_a_session_ends_when_it_is_revoked(opened: Path) -> None:
    """Sessions revoke takes what sessions create printed."""
    db = opened
    session = run("sessions", "create", "--account", "alice", "--ttl-s", "60", db=db).strip()
    run("sessions", "revoke", session, db=db)
    assert "no such session" in refusal("sessions", "revoke", "unknown", "--db", str(db))


def test_deleting_a_list_asks_first(db: Path) -> None:
    """No, or nobody to answer, leaves the list; yes or --yes deletes it."""
    make_store(db)
    with EventTracking(db):
        delete = ("lists", "delete", "94", "--db", str(db))
        assert shortcuts.command(*delete, stdin=b"n\n").returncode == 1
        unanswered = shortcuts.command(*delete, stdin=b"")
        assert unanswered.returncode == 2
        assert b"--yes" in unanswered.stderr
        assert "94" in run("lists", "list", db=db)
        assert shortcuts.command(*delete, stdin=b"y\n").returncode == 0
        run("lists", "delete", "95", "--yes", db=db)
        assert [found["list_id"] for found in json.loads(run("lists", "list", "--json", db=db))] == [96]


def test_names_keep_every_printable_character(db: Path) -> None:
    """Names in any script come out as they went in, in tables and in JSON."""
    name = "Zoë 東京 🎉 'quoted' [bold]"
    run("accounts", "create", name, db=db)
    with EventTracking(db):
        run("lists", "create", "--account", name, "--name", "old", "--id", "1", db=db)
        run("lists", "rename", "1", name, db=db)
        assert name in run("accounts", "list", db=db)
        assert json.loads(run("lists", "list", "--json", db=db))[0]["name"] == name


def test_a_table_hides_nothing_of_an_id(db: Path) -> None:
    """Ids are printed whole however narrow the terminal is."""
    account = json.loads(run("accounts", "create", "x" * 200, "--json", db=db))
    done = shortcuts.command("accounts", "list", "--db", str(db), env={"COLUMNS": "40"})
    assert account["account_id"] in done.stdout.decode()


def test_names_of_strangers_cannot_command_the_terminal(db: Path) -> None:
    """Event and property names come from requests; what a terminal would obey is printed as an escape."""
    make_store(db)
    with EventTracking(db) as tracking:
        tracking.track(94, "\x1b[2Jevil\n", email="a@example.com", properties={"\x1b]0;evil\x07": 1})
        for text in (run("stats", db=db), run("properties", "--list", "94", db=db)):
            assert "\x1b" not in text
            assert r"\x1b[2Jevil\n" in text


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("unknown",), "'unknown'"),
        (("accounts", "create", ""), "'NAME'"),
        (("accounts", "create", "two\nlines"), "'NAME'"),
        (("accounts", "create", "x" * 201), "1 to 200"),
        (("accounts", "create", "alice"), "already an account 'alice'"),
        (("lists", "create", "--account", "alice"), "'--name'"),
        (("lists", "create", "--account", "nobody", "--name", "n"), "'nobody'"),
        (("lists", "create", "--account", "alice", "--name", "n", "--id", "94"), "already a list 94"),
        (("lists", "create", "--account", "alice", "--name", "n", "--id", "0"), "'--id'"),
        (("lists", "create", "--account", "alice", "--name", "n", "--id", "x"), "not a valid whole number"),
        (("lists", "rename", "77", "n"), "no list 77"),
        (("lists", "rename", "99999999999999999999", "n"), "'LIST_ID'"),
        (("lists", "delete", "77", "--yes"), "no list 77"),
        (("keys", "create", "--account", "alice", "--scope", "root"), "'full', 'ingest', 'read'"),
        (("keys", "create", "--account", "nobody"), "'nobody'"),
        (("keys", "revoke", "unknown"), "keys list"),
        (("sessions", "create", "--account", "alice", "--ttl-s", "0"), "'--ttl-s'"),
        (("sessions", "create", "--account", "alice", "--ttl-s", "99999999999"), "'--ttl-s'"),
        (("properties", "--list", "77"), "--list 77"),
        (("serve", "--port", "0"), "'--port'"),
        (("serve", "--port", "70000"), "1<=x<=65535"),
        (("serve", "--interface", "cgi"), "'asgi', 'wsgi'"),
        (("serve", "--host", "name.invalid"), "name.invalid"),
    ],
    ids=" ".join,
)
def test_a_wrong_argument_is_refused_in_one_line_that_names_it(arguments: tuple[str, ...], says: str, stored: Path) -> None:
    """Exit code 2, one line on standard error that names what is wrong or what would be right, no traceback."""
    assert says in refusal(*arguments, env={"FALCON_EVENTS_DB": str(stored)})


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A store in use that no test changes."""
    db = tmp_path_factory.mktemp("stored") / "events.duckdb"
    make_store(db)
    with EventTracking(db):
        yield db


def test_bytes_that_are_no_text_are_refused_as_a_name(db: Path) -> None:
    """An argument that is not UTF-8 has no place in a database of Unicode text."""
    done = subprocess.run(
        [sys.executable, "-m", "falcon_events", "accounts", "create", b"a\xff", "--db", str(db)], capture_output=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr.count(b"\n") == 1


@pytest.mark.parametrize("option", [(), ("--db", "events.duckdb")], ids=["default", "--db"])
def test_looking_into_a_store_that_does_not_exist_makes_none(option: tuple[str, ...], tmp_path: Path) -> None:
    """Only serve and accounts create make a file; others name the missing one and leave the folder as it was."""
    environment = {name: value for name, value in os.environ.items() if name != "FALCON_EVENTS_DB"}
    done = subprocess.run(
        [sys.executable, "-m", "falcon_events", "stats", *option],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 2
    assert b"events.duckdb does not exist" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_option_comes_before_the_environment(db: Path, stored: Path) -> None:
    """FALCON_EVENTS_DB names the store where --db does not."""
    run("accounts", "create", "mine", db=db)
    listed = shortcuts.command("accounts", "list", "--json", env={"FALCON_EVENTS_DB": str(stored)})
    assert {account["name"] for account in json.loads(listed.stdout)} == {"alice", "bob"}
    listed = shortcuts.command("accounts", "list", "--json", "--db", str(db), env={"FALCON_EVENTS_DB": str(stored)})
    assert {account["name"] for account in json.loads(listed.stdout)} == {"mine"}


def test_files_that_are_no_store_are_named(tmp_path: Path) -> None:
    """A folder, a file of something else, an empty path, a folder that is missing: each in one line, nothing changed."""
    other = tmp_path / "other"
    other.write_bytes(os.urandom(4096))
    before = other.read_bytes()
    assert "is a folder" in refusal("stats", "--db", str(tmp_path))
    assert "not a DuckDB database" in refusal("stats", "--db", str(other))
    assert "'--db'" in refusal("stats", "--db", "")
    assert "there is no folder" in refusal("accounts", "create", "a", "--db", str(tmp_path / "missing" / "db"))
    assert other.read_bytes() == before


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("THREADS", "many", "stats"),
        ("THREADS", "0", "stats"),
        ("MEMORY_LIMIT_MB", "1", "stats"),
        ("MEMORY_LIMIT_MB", "1", "serve"),
        ("ANONYMOUS_EVENTS", "perhaps", "serve"),
    ],
)
def test_a_setting_that_cannot_be_is_refused(name: str, value: str, words: str, stored: Path) -> None:
    """A bad FALCON_EVENTS_* variable stops every command with one line that names the setting."""
    said = refusal(words, env={"FALCON_EVENTS_DB": str(stored), f"FALCON_EVENTS_{name}": value})
    assert name.lower() in said.lower()


def test_a_reader_that_has_gone_ends_the_command_in_silence(stored: Path) -> None:
    """`... | head -1` gets its line; no traceback, no message about a broken pipe."""
    reading, writing = os.pipe()
    os.close(reading)
    with subprocess.Popen(
        [sys.executable, "-m", "falcon_events", "stats", "--db", str(stored)], stdout=writing, stderr=subprocess.PIPE
    ) as process:
        os.close(writing)
        _, errors = process.communicate()
    assert errors == b""
    assert process.returncode == 1


@pytest.mark.needs("full-device")
def test_output_that_cannot_be_written_is_told(stored: Path) -> None:
    """A full disk behind standard output is one line and exit code 2, not success."""
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "falcon_events", "stats", "--db", str(stored)],
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
        )
    assert done.returncode == 2
    assert done.stderr.count(b"\n") == 1


@pytest.mark.parametrize("group", ["accounts", "lists", "keys", "sessions"])
def test_a_group_by_itself_shows_its_help(group: str) -> None:
    """Without a subcommand there is nothing to do but to say which there are."""
    done = command(group)
    assert b"Usage: " in done.stdout + done.stderr


def commands(group: click.Group, *path: str) -> Iterator[tuple[str, click.Command]]:
    """Every command below a group, by its full name."""
    for name, found in group.commands.items():
        if isinstance(found, click.Group):
            yield from commands(found, *path, name)
        else:
            yield " ".join((*path, name)), found


@pytest.mark.parametrize(("name", "found"), [pytest.param(*pair, id=pair[0]) for pair in commands(cli)])
def test_every_command_and_option_is_documented(name: str, found: click.Command) -> None:
    """docs/cli.md has a section for each command: what it does, each argument, and each option in one line with its help."""
    sections = dict(
        section.split("\n", 1) for section in DOCUMENTATION.read_text(encoding="utf-8").split("\n### ") if "\n" in section
    )
    section = sections[f"`falcon-events {name}`"]
    assert found.help
    assert found.help.splitlines()[0] in section
    for parameter in found.params:
        if isinstance(parameter, click.Option):
            for spelling in parameter.opts:
                (line,) = re.findall(rf"^\| [^|]*`{spelling}[ `].*$", section, re.MULTILINE)
                assert parameter.help
                assert parameter.help.split("  [")[0].replace("|", "\\|") in line
        else:
            assert f"`{parameter.make_metavar(click.Context(found))}`" in section


def test_a_command_is_documented_once() -> None:
    """No section of docs/cli.md comes twice."""
    headings = re.findall(r"^### .*$", DOCUMENTATION.read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(headings) == sorted(f"### `falcon-events {name}`" for name, _ in commands(cli))


@pytest.mark.parametrize("group", [name for name, found in cli.commands.items() if isinstance(found, click.Group)])
def test_every_group_of_commands_says_what_it_is(group: str) -> None:
    """And so does each command, in `--help`."""
    assert cli.commands[group].help
    assert b"Commands:" in command(group, "--help").stdout


def test_the_version_says_what_runs() -> None:
    """The package, Python and DuckDB, which is what a report of an error needs."""
    done = command("--version")
    python, database = platform.python_version(), duckdb.__version__
    assert done.stdout.decode() == f"falcon-events {falcon_events.__version__} (Python {python}, DuckDB {database})\n"
    assert (done.returncode, done.stderr) == (0, b"")
