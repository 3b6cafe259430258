"""import and export: what goes out comes in again, once; bad lines and cut-off runs lose nothing."""

from __future__ import annotations

import gzip
import json
import os
import random
import signal
import subprocess
import sys
import threading
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from falcon_events import EventTracking
from falcon_events.cli import ndjson as reading
from tests import shortcuts
from tests.harness import command, plain, wait_until
from tests.shortcuts import make_store

LIST = 94


def body(number: int, **changes: Any) -> dict[str, Any]:
    """A request body without a credential, with an EventID of its own."""
    owner = number % 7
    return {
        "ListID": LIST,
        "event": "load",
        "id": f"v{owner}",
        "email": f"v{owner}@example.com",
        "EventID": str(uuid.uuid5(uuid.NAMESPACE_URL, str(number))),
        "properties": {"number": number},
        **changes,
    }


def lines(*bodies: dict[str, Any]) -> bytes:
    """Bodies as NDJSON."""
    return b"".join(json.dumps(body).encode() + b"\n" for body in bodies)


def imported(db: Path, *arguments: str, stdin: bytes | None = None, code: int = 0) -> dict[str, Any]:
    """Runs an import; its result. One of standard input is run in a process of its own."""
    words = ("import", *arguments, "--rejects", str(db.parent / "rejects"), "--json", "--db", str(db))
    done = shortcuts.command(*words) if stdin is None else command(*words, stdin=stdin)
    assert done.returncode == code, done.stderr.decode()
    assert b"Traceback" not in done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def fill(db: Path, *bodies: dict[str, Any]) -> None:
    """Imports bodies."""
    source = db.parent / "source"
    source.write_bytes(lines(*bodies))
    imported(db, str(source))


def exported(db: Path, *arguments: str) -> list[dict[str, Any]]:
    """Runs an export of NDJSON to standard output; the events."""
    done = shortcuts.command("export", "--format", "ndjson", "--db", str(db), *arguments)
    assert done.returncode == 0, done.stderr.decode()
    return [json.loads(line) for line in done.stdout.splitlines()]


def rejects(db: Path, suffix: str = "") -> list[dict[str, Any]]:
    """The entries of the reject file."""
    return [json.loads(line) for line in (db.parent / f"rejects{suffix}").read_text().splitlines()]


def occurrences(db: Path) -> Counter[str]:
    """How often each event of the load is in the file, read by plain DuckDB."""
    with plain(db) as connection:
        return Counter(
            str(event_id) for (event_id,) in connection.execute("select event_id from events where event = 'load'").fetchall()
        )


@pytest.fixture
def store(db: Path) -> Path:
    """A store with the harness's accounts and lists."""
    make_store(db)
    return db


@pytest.fixture(scope="module")
def unused(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The path of a store in use, which has no events."""
    db = tmp_path_factory.mktemp("unused") / "events.duckdb"
    make_store(db)
    with EventTracking(db):
        yield db


@pytest.mark.parametrize("source", ["file", "gzip", "members", "stdin", "gzip on stdin", "pipe"])
def test_events_come_in_from_every_source(source: str, store: Path, tmp_path: Path) -> None:
    """Files, gzip of one member or several, standard input and pipes give the same events."""
    plain = lines(*(body(number) for number in range(1500)))
    name, stdin = tmp_path / "events", None
    if source == "members":
        half = plain.index(b"\n", len(plain) // 2) + 1
        name.write_bytes(gzip.compress(plain[:half]) + gzip.compress(plain[half:]))
    elif "stdin" in source:
        stdin = gzip.compress(plain) if "gzip" in source else plain
    else:
        name.write_bytes(gzip.compress(plain) if source == "gzip" else plain)
    if source == "pipe":
        name.unlink()
        os.mkfifo(name)
        writer = threading.Thread(target=name.write_bytes, args=(plain,))
        writer.start()
        result = imported(store, str(name))
        writer.join()
    else:
        result = imported(store, str(name) if stdin is None else "-", stdin=stdin)
    assert result == {"stored": 1500, "duplicates": 0, "rejected": 0}
    assert len(occurrences(store)) == 1500


def test_bad_lines_are_refused_with_number_and_codes_and_the_rest_is_stored(store: Path, tmp_path: Path) -> None:
    """Broken JSON, bytes that are no text, unknown lists and too large bodies go to the reject file; blank lines count."""
    source = tmp_path / "mixed.ndjson"
    source.write_bytes(
        b"\n".join(
            [
                b"\xef\xbb\xbf" + lines(body(1)).strip(),
                b"",
                lines(body(2)).strip() + b"\r",
                b"{",
                b"\xff\xfe{}",
                json.dumps({"ListID": 4711, "event": "", "email": "nobody"}).encode(),
                lines(body(3, properties={"large": "x" * (2 << 20)})).strip(),
                b" \r",
                lines(body(4)).strip(),
            ]
        )
    )
    assert imported(store, str(source)) == {
        "stored": 3,
        "duplicates": 0,
        "rejected": 4,
        "rejects": str(store.parent / "rejects"),
    }
    found = {entry["line"]: entry["codes"] for entry in rejects(store)}
    assert found == {4: [100000], 5: [100000], 6: [4, 5, 7], 7: [413]}
    assert {entry["file"] for entry in rejects(store)} == {str(source)}
    by_line = {entry["line"]: entry for entry in rejects(store)}
    assert by_line[4]["body"] == "{"
    assert by_line[6]["errors"][0] == {"Code": 4, "Message": "Invalid ListID parameter"}


def test_a_line_of_exactly_the_largest_body_is_taken(store: Path, tmp_path: Path) -> None:
    """The limit of an imported line is the one of a request's body, to the byte, with either line end."""
    limit = 1 << 20
    source = tmp_path / "line"
    with EventTracking(store):  # one owner for all imports
        for number, end in enumerate([b"\n", b"\r\n", b""]):
            room = limit - len(lines(body(number, properties={"large": ""})).strip())
            for more, result in ((0, "stored"), (1, "rejected")):
                line = lines(body(number, properties={"large": "x" * (room + more)})).strip()
                assert len(line) == limit + more
                source.write_bytes(line + end)
                assert imported(store, str(source))[result] == 1


@settings(derandomize=True, deadline=None, database=None, max_examples=300, suppress_health_check=list(HealthCheck))
@given(
    pieces=st.lists(
        st.sampled_from([b"{}", b"xxxxxxxx", b"\n", b"\r\n", b" ", b"          ", b"\x0b", b"\xef\xbb\xbf", b"\xef"]), max_size=14
    ),
    limit=st.integers(1, 20),
    block=st.integers(1, 40),
    most=st.integers(1, 5),
    zipped=st.booleans(),
)
def test_lines_are_the_same_however_they_are_read(
    pieces: list[bytes], limit: int, block: int, most: int, zipped: bool, tmp_path: Path
) -> None:
    """Blocks that end anywhere change no line and no number; white space makes none too long."""
    content = b"".join(pieces)
    source = tmp_path / "lines"
    source.write_bytes(gzip.compress(content) if zipped else content)
    expected = []
    for number, text in enumerate(content.removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
        body = None if text[limit + 2 :].strip() else text[: limit + 2].strip()
        if body != b"":
            expected.append((number, body if body is not None and len(body) <= limit else None))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "_BLOCK", block)
        blocks = list(reading.read_lines(str(source), limit, most, lambda position: None))
    assert all(0 < len(block.bodies) <= most for block in blocks)
    assert [pair for block in blocks for pair in zip(block.numbers, block.bodies, strict=True)] == expected


def test_an_earlier_reject_file_is_kept(store: Path) -> None:
    """A repeat does not overwrite what an earlier run refused: what came from standard input is nowhere else."""
    source = store.with_name("source")
    imported(store, "-", stdin=b"first\n")
    for word in ("second", "third"):
        source.write_text(f"{word}\n")
        imported(store, str(source))
    assert [rejects(store, suffix)[0]["body"] for suffix in (".1", ".2", "")] == ["first", "second", "third"]
    fill(store, body(1))
    assert rejects(store)[0]["body"] == "third"


def test_a_reject_file_can_itself_be_read(store: Path) -> None:
    """The file that is imported may bear the reject file's name: it is moved aside, not emptied under its reader."""
    (store.parent / "rejects").write_bytes(b"broken\n" + lines(body(1)))
    assert imported(store, str(store.parent / "rejects"))["stored"] == 1
    assert (store.parent / "rejects.1").read_bytes().startswith(b"broken\n")


def test_a_repeated_import_stores_nothing_twice(store: Path, tmp_path: Path) -> None:
    """Lines with an EventID are stored once however often they come, within a file and between runs."""
    source = tmp_path / "events"
    source.write_bytes(lines(body(1), body(2), body(1)))
    assert imported(store, str(source)) == {"stored": 2, "duplicates": 1, "rejected": 0}
    assert imported(store, str(source), str(source)) == {"stored": 0, "duplicates": 6, "rejected": 0}


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda sign: sign.name)
def test_an_import_that_was_stopped_can_be_repeated(sign: signal.Signals, store: Path, tmp_path: Path) -> None:
    """Ctrl-C and SIGTERM tell what was stored and exit with 128 + the signal; after any end, a repeat stores the rest once."""
    total = 10_000
    source = tmp_path / "events"
    source.write_bytes(lines(*(body(number) for number in range(total))))
    arguments = [sys.executable, "-m", "falcon_events", "import", str(source), "--json", "--db", str(store)]
    wal = store.with_name(store.name + ".wal")
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        enough = random.randrange(100_000, 500_000)
        wait_until(lambda: process.poll() is not None or (wal.exists() and wal.stat().st_size > enough), "nothing is stored")
        process.send_signal(sign)
        out, errors = process.communicate()
    told = 0
    if sign is not signal.SIGKILL and process.returncode:
        assert process.returncode == 128 + sign
        told = json.loads(out)["stored"]
        assert sign.name.encode() in errors
        assert b"repeat the import" in errors
        assert len(occurrences(store)) == told
    result = imported(store, str(source))
    assert result["stored"] + result["duplicates"] == total
    assert result["duplicates"] >= told
    held = occurrences(store)
    assert len(held) == total
    assert max(held.values()) == 1


def test_ctrl_c_ends_an_import_that_waits_for_its_input(store: Path) -> None:
    """A pipe from which nothing comes does not keep the command from ending, and what came before is stored."""
    arguments = [sys.executable, "-m", "falcon_events", "import", "-", "--json", "--db", str(store)]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin is not None
        process.stdin.write(lines(body(1)))
        process.stdin.flush()
        wal = store.with_name(store.name + ".wal")
        wait_until(lambda: wal.exists() and wal.stat().st_size > 0, "nothing is stored")
        process.send_signal(signal.SIGINT)
        assert process.stdout is not None
        assert process.wait(60) == 130
        assert json.loads(process.stdout.read())["stored"] == 1


@pytest.mark.parametrize("damage", ["cut", "changed"])
def test_a_damaged_gzip_file_is_told_after_what_could_be_read(damage: str, store: Path, tmp_path: Path) -> None:
    """Exit code 2 and one line that names the file; what was readable is stored, and told."""
    whole = gzip.compress(lines(*(body(number, properties={"r": random.random()}) for number in range(3000))))
    source = tmp_path / "events.gz"
    source.write_bytes(whole[: len(whole) // 2] if damage == "cut" else whole[:-8] + bytes(8))
    done = shortcuts.command("import", str(source), "--db", str(store))
    assert done.returncode == 2
    assert done.stderr.count(b"\n") == 1
    assert f"{source} is cut off or damaged".encode() in done.stderr
    stored = int(done.stdout.split()[0])
    assert stored == len(occurrences(store)) > 0


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("import",), "'FILE...'"),
        (("import", "missing.ndjson"), "missing.ndjson does not exist"),
        (("import", "."), "is a folder"),
        (("import", "-", "--rejects", "missing/rejects"), "--rejects missing/rejects"),
        (("import", "-", "--rejects", "."), "--rejects ."),
        (("export",), "--format is needed"),
        (("export", "--format", "csv"), "'parquet', 'ndjson'"),
        (("export", "--format", "ndjson", "--since", "yesterday"), "--since yesterday"),
        (("export", "--format", "ndjson", "--until", "2026-01-01T00:00:00"), "--until"),
        (("export", "--format", "ndjson", "--list", "77"), "--list 77"),
        (("export", "--format", "ndjson", "--json"), "--json"),
        (("export", "--format", "ndjson", "--output", "missing/events"), "--output missing/events"),
        (("export", "--format", "ndjson", "--output", "."), "--output ."),
    ],
    ids=" ".join,
)
def test_a_wrong_argument_is_refused_in_one_line(arguments: tuple[str, ...], says: str, unused: Path) -> None:
    """Exit code 2 and one line that names the failing argument, before anything is read or written."""
    done = shortcuts.command(*arguments, "--db", str(unused))
    assert done.returncode == 2, done.stdout
    assert done.stderr.count(b"\n") == 1
    assert says in done.stderr.decode()
    assert done.stdout == b""


@pytest.mark.database
def test_a_round_trip_gives_the_same_events_without_doubling(store: Path, tmp_path: Path) -> None:
    """An export imported into a second store, and imported again, leaves the same events there, identify events included."""
    awkward = {
        "nul": "\0",
        "text": "東京 🎉 \u2028 \\",
        "big": 2**63 - 1,
        "small": -(2**63),
        "double": 0.1,
        "tiny": 5e-324,
        "nested": {"a": [1, None, True, {"b": []}]},
        "": "",
        "null": None,
    }
    second = tmp_path / "second.duckdb"
    make_store(second)
    with EventTracking(store) as tracking, EventTracking(second):
        tracking.track(LIST, "awkward", email="A.B@Example.com", id="007", properties=awkward)
        tracking.track(LIST, "anonymous", uuid="00000000-0000-4000-8000-000000000001", properties={})
        early = "1970-01-01T00:00:00.000001Z"
        tracking.track(LIST, "identify", email="c@example.com", properties={"first-name": "C"}, timestamp=early)
        tracking.track(95, "other", email="c@example.com", timestamp="2001-02-03T04:05:06.000007Z")
        tracking.track(LIST, "again", email="c@example.com")
        out = tmp_path / "events.ndjson.gz"
        written = shortcuts.command("export", "--format", "ndjson", "--output", str(out), "--json", "--db", str(store))
        assert json.loads(written.stdout) == {"events": 7, "file": str(out)}
        assert imported(second, str(out)) == {"stored": 7, "duplicates": 0, "rejected": 0}
        assert imported(second, str(out)) == {"stored": 0, "duplicates": 7, "rejected": 0}
        events = exported(second)
        assert events == exported(store)
    (found,) = (event for event in events if event["Event"] == "awkward")
    assert found["Properties"] == awkward


@pytest.mark.database
def test_since_includes_its_moment_and_until_does_not(store: Path) -> None:
    """Bounds are exact to the microsecond; a date means its first moment in UTC."""
    moments = [
        "1970-01-01T23:59:59.999999Z",
        "1970-01-02T00:00:00Z",
        "2026-01-31T00:00:00Z",
        "2026-01-31T23:59:59.999999Z",
        "2026-02-01T00:00:00Z",
    ]
    anonymous = {"UUID": "00000000-0000-4000-8000-000000000001", "email": None}
    fill(store, *(body(n, Timestamp=moment, **anonymous) for n, moment in enumerate(moments)))

    def within(*bounds: str) -> list[int]:
        return [event["Properties"]["number"] for event in exported(store, *bounds)]

    with EventTracking(store):  # one owner for all exports
        assert_bounds(within)


def assert_bounds(within: Callable[..., list[int]]) -> None:
    """Which of the moments are between bounds."""
    assert within() == [0, 1, 2, 3, 4]
    assert within("--until", "1970-01-02") == [0]
    assert within("--since", "1970-01-02") == [1, 2, 3, 4]
    assert within("--since", "2026-01-31", "--until", "2026-02-01") == [2, 3]
    assert within("--since", "2026-02-01T01:00:00+01:00") == [4]
    assert within("--since", "2026-01-31T23:59:59.999999Z", "--until", "2026-01-31T23:59:59.999999Z") == []
    assert within("--list", "95") == []
    assert within("--list", str(LIST)) == [0, 1, 2, 3, 4]


@pytest.mark.database
def test_parquet_has_the_columns_of_the_table(store: Path, tmp_path: Path) -> None:
    """Any tool that reads Parquet gets every event with its columns; the file is there whole or not at all."""
    fill(store, *(body(number) for number in range(10)))
    out = tmp_path / "o'clock.parquet"
    done = shortcuts.command("export", "--format", "parquet", "--output", str(out), "--db", str(store))
    assert done.stdout.decode() == f"17 events written to {out}\n"
    with duckdb.connect() as connection:
        query = "select event, count(*), count(distinct visitor) from read_parquet(?) group by all order by all"
        rows = connection.execute(query, [str(out)]).fetchall()
        seqs = connection.execute("select seq from read_parquet(?)", [str(out)]).fetchall()
    assert rows == [("identify", 7, 7), ("load", 10, 7)]
    assert seqs == [(seq,) for seq in range(1, 18)]
    assert [path.name for path in tmp_path.iterdir() if "export" in path.name] == []


def test_an_export_to_standard_output_can_be_read_partly(store: Path) -> None:
    """`export | head -1` gives one event, and no traceback."""
    fill(store, *(body(number, properties={"fill": "x" * 1000}) for number in range(500)))
    arguments = [sys.executable, "-m", "falcon_events", "export", "--format", "ndjson", "--db", str(store)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert json.loads(process.stdout.readline())["Event"] == "identify"
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(60) == 1


@pytest.mark.needs("full-device")
def test_an_export_that_cannot_be_written_is_told(store: Path) -> None:
    """A full disk is one line that names the output, and exit code 2."""
    fill(store, body(1))
    done = shortcuts.command("export", "--format", "ndjson", "--output", "/dev/full", "--db", str(store))
    assert done.returncode == 2
    assert done.stderr.startswith(b"falcon-events: --output /dev/full cannot be written")
    assert done.stderr.count(b"\n") == 1
