"""docs/self-hosting.md, walked: its blocks are run on real servers, with the paths and ports of a machine of tests."""

from __future__ import annotations

import json
import os
import pwd
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from falcon_events import EventTracking
from tests.artefacts.test_systemd_service import printed
from tests.harness import Credentials, is_held, make_store, owner_of, serving, wait_until
from tests.image import Stage, beside, container, entered
from tests.mail_server import taking_mail
from tests.restricted import directives
from tests.server.test_reverse_proxies import block

COMMAND = f"#!{sys.executable}\nfrom falcon_events.cli import main\nmain()\n"
TRUSTED = "FALCON_EVENTS_TRUSTED_PROXIES"
USERS = "sudo -u falcon-events "


@dataclass
class House:
    """The folders of a machine on which the page's blocks run."""

    root: Path
    temporary: Path
    credentials: Credentials

    @property
    def db(self) -> Path:
        """The store."""
        return self.root / "state/events.duckdb"

    @property
    def backups(self) -> list[str]:
        """The copies that there are."""
        return sorted(path.name for path in (self.root / "state/backups").iterdir())

    @property
    def today(self) -> str:
        """The newest copy."""
        return self.backups[-1]

    def here(self, text: str) -> str:
        """A text of the page with this machine's paths, for a user who is the server's."""
        changes = {
            USERS: "",
            "sudo ": "",
            "root@events.example.com:": "",
            "root@new.example.com:/var/lib/falcon-events": str(self.root / "new"),
            " --chown=falcon-events:falcon-events": "",
            "/var/lib/falcon-events": str(self.root / "state"),
            "/usr/local/bin": str(self.root / "bin"),
            "/srv": str(self.root / "srv"),
        }
        for old, new in changes.items():
            text = text.replace(old, new)
        return text

    def run(self, text: str, path: str = "") -> subprocess.CompletedProcess[str]:
        """What a shell makes of a text of the page."""
        environment = {"PATH": path or f"{self.root}/bin:/usr/bin:/bin", "TMPDIR": str(self.temporary), "LC_ALL": "C.UTF-8"}
        return subprocess.run(
            ["/bin/sh", "-c", self.here(text)], cwd=self.root, env=environment, capture_output=True, text=True, check=False
        )

    def done(self, text: str) -> str:
        """What a text of the page prints; it must succeed, and say nothing on standard error."""
        ended = self.run(text)
        assert (ended.returncode, ended.stderr) == (0, ""), ended
        return ended.stdout

    def events(self, path: Path) -> set[str]:
        """The event types that a store has."""
        with EventTracking(path) as tracking:
            return set(tracking.properties(94)) - {"identify"}


@pytest.fixture
def flavour(one_flavour: str) -> str:
    """One flavour per test, as the page is about files and commands."""
    return one_flavour


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """A machine with a store, the command, and the page's script for backups."""
    for name in ("state", "bin"):
        (tmp_path / name).mkdir(mode=0o700)
    temporary = Path(tempfile.mkdtemp(dir="/tmp"))  # sockets of stores whose path is long are there: it has to be short
    found = House(tmp_path, temporary, make_store(tmp_path / "state/events.duckdb"))
    script = found.here(block("backup"))
    for name, text in (("falcon-events", COMMAND), ("falcon-events-backup", script)):
        (tmp_path / "bin" / name).write_text(text)
        (tmp_path / "bin" / name).chmod(0o755)
    yield found
    shutil.rmtree(temporary)


def between(mark: str) -> Iterator[str]:
    """The parts of a block between the lines that start and stop the server."""
    yield from re.split(r"^sudo systemctl .*\n", block(mark), flags=re.MULTILINE)


def test_a_years_backups_by_cron_are_the_last_fourteen(flavour: str, house: House) -> None:
    """As the crontab has it: with its PATH, silently, while the server runs; a second run on one day replaces the first's."""
    *variables, line = block("cron").splitlines()
    path = house.here(dict(one.split("=", 1) for one in variables)["PATH"])
    *when, user, command = line.split()
    assert (len(when), user, directives(printed())["User"]) == (5, "falcon-events", ["falcon-events"])
    folder = house.root / "state/backups"
    with serving(house.db, flavour) as served:
        for day, name in enumerate(("first", "second"), 1):
            served.client.track(**house.credentials.event(event=name))
            ended = house.run(command, path)
            assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
            for number in range(1, 29):
                (folder / f"events-2025-{day:02}-{number:02}.duckdb").touch()
        assert house.run(command, path).returncode == 0
    assert len(house.backups) == 14
    assert house.backups[:13] == [f"events-2025-02-{number:02}.duckdb" for number in range(16, 29)]
    assert house.events(folder / house.today) == {"first", "second"}
    assert not (folder / house.today).stat().st_mode & 0o077


@pytest.mark.parametrize("number", [0, 1])
def test_reports_are_sent_by_cron(flavour: str, house: House, number: int) -> None:
    """As the crontab has it: silently, while the server runs, with the settings of a file that a shell reads."""
    line = block("report-cron").splitlines()[number]
    (moment, user, words) = re.fullmatch(r"(\S+ \S+ \S+ \S+ \S+) (\S+) (.*)", line).groups()  # type: ignore[union-attr]
    assert (moment, user) == (("0 7 * * 1", "0 7 1 * *")[number], "falcon-events")
    assert "%" not in words  # cron's line break
    install, *settings, end = block("report-settings").splitlines()
    assert (install.split()[-2:], end) == (["/etc/falcon-events-mail.env", "<<'END'"], "END")
    words = words.replace("/etc", str(house.root / "etc")).replace("--list 1", "--list 94")
    (house.root / "etc").mkdir()
    with serving(house.db, flavour) as served, taking_mail(users={"USER": "PASSWORD"}) as server:
        served.client.track(**house.credentials.event())
        here = "\n".join(settings).replace("mail.example.com:587", f"127.0.0.1:{server.port}")
        (house.root / "etc/falcon-events-mail.env").write_text(here)
        assert house.done(words) == ""
        (mail,) = server.mails
        assert (mail.recipients, mail.user) == (["you@example.com"], "USER")
        assert mail.message["From"] == "Reports <reports@example.com>"
        assert mail.message["Subject"].startswith("main (list 94): ")
        assert f"this {('week', 'month')[number]}" in mail.part("plain")
        server.answers["RCPT"] = "550 nobody"
        failed = house.run(words)
        assert (failed.returncode, failed.stdout, failed.stderr.count("\n")) == (2, "", 1)
        assert house.done(block("report-dry-run").replace("--list 1", "--list 94")).startswith("main (list 94): ")


@pytest.mark.needs("systemd")
def test_reports_are_sent_by_a_timer(tmp_path: Path) -> None:
    """Which systemd understands; the service starts what cron does, as the server's user, once."""
    for kind in ("service", "timer"):
        text = block(f"report-{kind}").replace("/usr/local/bin/falcon-events", sys.executable)
        (tmp_path / f"falcon-events-report.{kind}").write_text(text)
    words = ["systemd-analyze", "verify", "--man=no", str(tmp_path / "falcon-events-report.timer")]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    service = directives(block("report-service"))
    assert (service["Type"], service["User"]) == (["oneshot"], ["falcon-events"])
    weekly = block("report-cron").splitlines()[0]
    assert weekly.endswith(service["ExecStart"][0].removeprefix("/usr/local/bin/"))
    words = ["systemd-analyze", "calendar", *directives(block("report-timer"))["OnCalendar"]]
    assert "Normalized form: Mon *-*-* 07:00:00" in subprocess.run(words, capture_output=True, text=True, check=True).stdout


def test_a_backup_that_fails_says_so_and_removes_nothing(house: House) -> None:
    """An exit code and a line on standard error, which cron mails."""
    folder = house.root / "state/backups"
    folder.mkdir()
    for number in range(20):
        (folder / f"events-2025-01-{number:02}.duckdb").touch()
    house.db.rename(house.db.with_name("elsewhere"))
    ended = house.run("falcon-events-backup")
    assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (2, "", 1)
    assert len(house.backups) == 20


@pytest.mark.needs("rsync")
def test_a_backup_that_was_fetched_is_tried(flavour: str, house: House) -> None:
    """The newest one is read through, and nothing of it left; a damaged one ends in a failure."""
    with serving(house.db, flavour) as served:
        served.client.track(**house.credentials.event())
        house.done("falcon-events-backup")
    house.done(block("offsite"))
    fetched = house.root / "srv/backups/events" / house.today
    assert "WRONG" not in house.done(block("try"))
    assert not list(house.temporary.glob("tmp.*"))
    content = bytearray(fetched.read_bytes())
    content[4096:] = bytes(len(content) - 4096)
    fetched.write_bytes(content)
    assert house.run(block("try")).returncode != 0


def test_restoring_gives_back_what_the_backup_had(flavour: str, house: House) -> None:
    """What came later, with its journal after a kill, stands aside as a store that opens; a running server is not touched."""
    empty, restore, after = between("restore")
    assert (empty, after) == ("", "")
    with serving(house.db, flavour) as served:
        served.client.track(**house.credentials.event(event="before"))
        house.done("falcon-events-backup")
        restore = restore.replace("events-2026-11-24.duckdb", house.today)
        assert served.client.track(**house.credentials.event(event="later")).status_code == 200
        refused = house.run(restore)
        assert (refused.returncode, (house.root / "state/before-restore").exists()) == (1, False)
        os.killpg(served.process.pid, signal.SIGKILL)
        os.kill(owner_of(house.db), signal.SIGKILL)
        served.process.wait()
        wait_until(lambda: not is_held(house.db), "the store is held")
    assert "WRONG" not in house.done(restore)
    with serving(house.db, flavour) as served:
        assert served.client.track(**house.credentials.event(event="after")).status_code == 200
        served.stop()
    assert house.events(house.db) == {"before", "after"}
    assert house.events(house.root / "state/before-restore/events.duckdb") == {"before", "later"}


@pytest.mark.needs("rsync")
def test_moving_takes_everything_along(flavour: str, house: House) -> None:
    """Events, lists and keys work on the new machine; the old folder stays."""
    (house.root / "new").mkdir(mode=0o700)
    empty, move = between("move")
    look, health = between("moved")
    with serving(house.db, flavour) as served:
        served.client.track(**house.credentials.event(event="old"))
        served.stop()
    wait_until(lambda: not is_held(house.db), "the store is held")
    assert empty + house.done(move) == ""
    new = replace(house, root=house.root / "there")
    shutil.copytree(house.root / "bin", new.root / "bin")
    (house.root / "new").rename(new.root / "state")
    assert {path.name for path in (new.root / "state").iterdir()} == {"events.duckdb"} | {
        path.name for path in (house.root / "state").glob("*.log")
    }
    assert "WRONG" not in new.done(look)
    with serving(new.db, flavour) as served:
        assert new.done(health.replace("health", f"health --url {served.url}")) == "ok\n"
        assert served.client.track(**house.credentials.event(event="new")).status_code == 200
        served.stop()
    assert house.events(new.db) == {"old", "new"}
    assert house.events(house.db) == {"old"}


def test_an_upgrade_keeps_what_was_before(flavour: str, house: House) -> None:
    """A backup, and the command of before, which the page's way back puts in its place again."""
    backup, change, health = between("upgrade")
    (back,) = re.findall(r"`sudo (mv [^`]+)`", Path(__file__).parents[2].joinpath("docs/self-hosting.md").read_text())
    (house.root / "falcon-events").write_text(COMMAND + "# newer\n")
    program = house.root / "bin/falcon-events"
    with serving(house.db, flavour) as served:
        served.client.track(**house.credentials.event(event="old"))
        house.done(backup)
        served.stop()
    house.done(change)
    assert program.read_text() == COMMAND + "# newer\n"
    with serving(house.db, flavour) as served:
        assert house.done(health.replace("health", f"health --url {served.url}")) == "ok\n"
        served.stop()
    house.done(back)
    assert program.read_text() == COMMAND
    assert os.access(program, os.X_OK)
    assert house.events(house.root / "state/backups" / house.today) == {"old"}


@pytest.mark.needs("containers", "useradd")
@pytest.mark.checkout
def test_from_the_command_to_a_service(image: Stage, tmp_path: Path) -> None:
    """On a machine that has the command only: the user, its folder, the settings and the unit are made as the page has it, what
    the unit starts is healthy, and the first key is replaced by one's own.
    """
    root = tmp_path / "machine"
    shutil.copytree(image.root, root, symlinks=True, ignore=shutil.ignore_patterns("*.sock"))  # another test's, of a killed owner
    for path in (tmp_path, root):
        path.chmod(0o755)
    environment = {"PATH": image.env["PATH"] + ":/usr/sbin"}
    machine = Stage(root, environment)
    shell = ["/bin/sh", "-euc"]
    subprocess.run(entered(machine, [*shell, "userdel falcon-events; rm -r /data"]), check=True)
    make, start, health = between("service")
    (root / "etc/systemd/system").mkdir(parents=True, exist_ok=True)
    subprocess.run(entered(machine, [*shell, make.replace("sudo ", "")]), check=True, capture_output=True)
    assert (start, health) == ("", "falcon-events health --wait 60\n")
    (user,) = (line.split(":") for line in (root / "etc/passwd").read_text().splitlines() if line.startswith("falcon-events:"))
    assert user[5:] == ["/var/lib/falcon-events", "/usr/sbin/nologin"]
    assert user[2] not in {str(known.pw_uid) for known in pwd.getpwall()}
    unit = directives((root / "etc/systemd/system/falcon-events.service").read_text())
    settings = dict(line.split("=", 1) for line in (root / "etc/falcon-events.env").read_text().splitlines())
    assert unit["EnvironmentFile"] == ["-/etc/falcon-events.env"]
    machine.env |= settings
    machine.user, machine.folder = f"{user[2]}:{user[3]}", unit["WorkingDirectory"][0]
    machine.told = {"ENTRYPOINT": [], "CMD": shlex.split(unit["ExecStart"][0]), "HEALTHCHECK": shlex.split(health)}
    with container(machine, tmp_path / "log") as (_, first):
        create, look, revoke = block("keys").replace(USERS, "").splitlines()
        done = subprocess.run(beside(machine, first, [*shell, f"{create}\n{look}"]), capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert "fe_ingest_" in done.stdout
        (first_key,) = (re.findall(r"key_\w+", line)[0] for line in done.stdout.splitlines() if " full " in line)
        revoke = re.sub(r"key_\w+", first_key, revoke)
        subprocess.run(beside(machine, first, [*shell, revoke]), check=True)
        listed = [*shell, "falcon-events keys list --json --db /var/lib/falcon-events/events.duckdb"]
        keys = json.loads(subprocess.run(beside(machine, first, listed), capture_output=True, check=True).stdout)
        assert {key["scope"]: key["revoked_at"] is None for key in keys} == {"full": False, "ingest": True}
    assert (root / "var/lib/falcon-events/events.duckdb").stat().st_uid == int(user[2])
    with EventTracking(tmp_path / "settings.duckdb", trusted_proxies=settings[TRUSTED]):
        pass  # the setting is one that can be
