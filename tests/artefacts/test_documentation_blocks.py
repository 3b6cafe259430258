"""Every block of code in the pages is run, or is named here with the test that runs it."""

from __future__ import annotations

import configparser
import importlib.metadata
import json
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from falcon_events import EventTracking, Plan
from falcon_events.contract.schemas import load_schema
from tests.blocks import BLOCKS, PAGES, ROOT, Block, blocks_of, environment, serve, shell, text_of
from tests.needs import require
from tests.receiver import receiving

ELSEWHERE = {
    "README.md sh 0": "tests/artefacts/test_contributing.py::test_the_readmes_server_takes_the_line_that_it_prints",
    "README.md sh 1": "tests/artefacts/test_contributing.py::test_the_readmes_server_takes_the_line_that_it_prints",
    "README.md sh 2": "tests/artefacts/test_contributing.py::test_the_readmes_server_takes_the_line_that_it_prints",
    "README.md sh 3": "tests/artefacts/test_executable.py",
    "README.md sh 4": ".ci/run",
    "CONTRIBUTING.md sh 0": ".ci/run",
    "CONTRIBUTING.md sh 1": ".ci/run",
    "CONTRIBUTING.md sh 2": "tests/artefacts/test_contributing.py::test_the_commands_for_contributors_run",
    "CONTRIBUTING.md sh 3": "tests/artefacts/test_contributing.py::test_the_documented_commands_check_format_lint_and_types",
    "CONTRIBUTING.md sh 4": "tests/artefacts/test_contributing.py::test_the_documentation_is_up_to_date",
    "CONTRIBUTING.md sh 5": "tests/artefacts/test_contributing.py::test_the_pages_are_shown_while_they_are_written",
    "CONTRIBUTING.md sh 6": ".ci/run",
    "CONTRIBUTING.md sh 7": "tests/artefacts/test_contributing.py::test_a_release_is_built_and_tried",
    "docs/answers.md http": "tests/server/test_answers_page.py::test_a_question_has_one_answer",
    "docs/answers.md python": "tests/server/test_answers_page.py::test_a_question_has_one_answer",
    "docs/answers.md sh": "tests/server/test_answers_page.py::test_a_question_has_one_answer",
    "docs/answers.md text": "tests/server/test_answers_page.py::test_a_question_has_one_answer",
    "docs/client.md py": "tests/server/client/test_calls.py::test_the_documentations_examples_run",
    "docs/performance.md sh 0": "tests/artefacts/test_contributing.py::test_the_command_for_the_figures_names_what_there_is",
    "docs/recipes.md sql": "tests/server/test_recipes.py::test_a_recipe_answers_its_question",
    "docs/self-hosting.md caddy": "tests/server/test_reverse_proxies.py",
    "docs/self-hosting.md ini": "tests/artefacts/test_self_hosting.py",
    "docs/self-hosting.md nginx": "tests/server/test_reverse_proxies.py",
    "docs/self-hosting.md sh": "tests/artefacts/test_self_hosting.py",
    "docs/self-hosting.md text": "tests/artefacts/test_self_hosting.py",
    "docs/start/*": "tests/artefacts/test_quickstarts.py::test_a_start_leads_to_stored_events",
    "docs/testing.md py": "tests/unit/test_pytest_plugin.py::test_the_documentations_examples_pass",
    "docs/testing.md text": "tests/unit/test_pytest_plugin.py::test_the_documentations_examples_pass",
    "examples/*": "tests/artefacts/test_examples.py",
}
"""Blocks that are not run here: page, language and maybe number, or a folder; and the test that runs them, which names it."""

SHAPES = {
    "README.md json 0": "event.response",
    "docs/api.md json 0": "errors",
    "docs/api.md json 1": "event.response",
    "docs/api.md json 2": "events.response",
    "docs/api.md json 3": "properties.response",
    "docs/api.md json 4": "query.request",
    "docs/api.md json 5": "query.response",
    "docs/api.md json 6": "funnel.request",
    "docs/api.md json 7": "funnel.response",
    "docs/api.md json 8": "retention.request",
    "docs/api.md json 9": "retention.response",
    "docs/api.md json 10": "people.request",
    "docs/api.md json 11": "people.response",
    "docs/api.md json 12": "timeline.request",
    "docs/api.md json 13": "timeline.response",
    "docs/api.md json 14": "values.request",
    "docs/api.md json 15": "values.response",
    "docs/api.md json 16": "save.request",
    "docs/api.md json 17": "save.response",
    "docs/tracking-plan.md json 0": "plan",
    "docs/webhooks.md json 0": "webhook",
}
"""What each block of JSON shows: a request or an answer, by the name of its schema, or one of the two others."""

SERVERS = ("falcon-events serve", "gunicorn ", "granian ", "uvicorn ", "uwsgi ")
HOST = """
import falcon, falcon.asgi
from falcon_events import EventTracking
from falcon_events.http import mount

app, asgi_app = falcon.App(), falcon.asgi.App()
mount(app, EventTracking("hosted.duckdb"))
mount(asgi_app, EventTracking("hosted.duckdb"))
"""


def keys(block: Block) -> list[str]:
    """What the table may call a block."""
    folders = [f"{folder.as_posix()}/*" for folder in Path(block.page).parents]
    return [block.name, block.name.rpartition(" ")[0], *folders]


def elsewhere(block: Block) -> str | None:
    """The test that runs a block, if that is not one of these."""
    return next((ELSEWHERE[key] for key in keys(block) if key in ELSEWHERE), None)


def here(*languages: str) -> list[Any]:
    """The blocks of these languages that are run here, as parameters of a test."""
    return [pytest.param(block, id=block.name) for block in BLOCKS if block.language in languages and elsewhere(block) is None]


class Balanced(HTMLParser):
    """Reads HTML, and refuses an element that is not ended, or ended out of turn."""

    VOID = frozenset(["area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"])

    def __init__(self, text: str) -> None:
        super().__init__()
        self._open: list[str] = []
        self.feed(text)
        self.close()
        if self._open:
            raise ValueError(f"not ended: {self._open}")

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Remembers what has to end."""
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """Ends what was begun last."""
        if not self._open or self._open.pop() != tag:
            raise ValueError(f"out of turn: </{tag}>")


def node_checks(text: str) -> None:
    """Has Node read a script without running it."""
    done = subprocess.run(["node", "--check", "-"], input=text, env=environment(), capture_output=True, text=True, check=False)
    if done.returncode:
        raise ValueError(done.stderr)


PARSERS: dict[str, Callable[[str], object]] = {
    "html": Balanced,
    "ini": lambda text: configparser.ConfigParser(strict=False, interpolation=None).read_string(text),
    "js": node_checks,
    "toml": tomllib.loads,
    "yaml": yaml.safe_load,
}
"""What is no program by itself is read by what reads it in earnest."""

RUN_HERE = {"python", "sh", "json", "sql", *PARSERS}


def test_nothing_executes_no_block() -> None:
    """Each block is of a language that is run here, or named in the table; each line of the table is needed."""
    unknown = [block.name for block in BLOCKS if block.language not in RUN_HERE and elsewhere(block) is None]
    assert unknown == []
    assert ELSEWHERE.keys() <= {key for block in BLOCKS for key in keys(block)}
    assert {block.name for block in BLOCKS if block.language == "json" and elsewhere(block) is None} == SHAPES.keys()
    fences = sum(len(re.findall(r"^ *(?:`{3,}|~{3,})", path.read_text(), re.MULTILINE)) for path in PAGES)
    assert fences == 2 * len(BLOCKS)


@pytest.mark.checkout
@pytest.mark.parametrize("name", ELSEWHERE)
def test_the_test_that_is_named_is_there(name: str) -> None:
    """Its file has it, and speaks of the page; what .ci/run is said to run stands there, or in what it takes from README.md."""
    target = ELSEWHERE[name]
    if target == ".ci/run":
        run = (ROOT / ".ci" / "run").read_text() + text_of("README.md sh 4")  # which its `eval`s take
        for command in re.split(r" && |\n", text_of(name).strip()):
            assert command.split(" --out")[0] in run, command
        return
    file, _, test = target.partition("::")
    text = (ROOT / file).read_text()
    assert Path(name.split(" ")[0].removesuffix("/*")).name in text
    assert not test or f"def {test}(" in text


@pytest.mark.parametrize("block", here("python"))
def test_python_runs(block: Block, tmp_path: Path) -> None:
    """Each block as it stands, in an empty folder."""
    script = tmp_path / "block.py"
    script.write_text(block.text)
    done = subprocess.run([sys.executable, script], cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{block.text}\n{done.stderr}"


def installed(line: str) -> bool:
    """Whether a line installs this package; what it asks for has to be there, since it may not be published yet."""
    words = shlex.split(line)
    if words[:2] != ["pip", "install"]:
        return False
    found = re.fullmatch(r"falcon-events(?:\[([\w,]+)\])?", words[-1])
    assert found, line
    extras = set(importlib.metadata.metadata("falcon-events").get_all("Provides-Extra") or ())
    assert set(filter(None, (found[1] or "").split(","))) <= extras, line
    return True


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with an account, a list and an event, to be copied."""
    db = tmp_path_factory.mktemp("store") / "events.duckdb"
    with EventTracking(db) as tracking:
        tracking.directory.create_account("acme")
        tracking.directory.create_list("acme", "Newsletter", 1)
        tracking.track(1, "signup", email="ada@example.com", properties={"plan": "free"})
    return db


@pytest.mark.parametrize("block", here("sh"))
def test_commands_run(block: Block, store: Path, tmp_path: Path) -> None:
    """Each block as it stands, in a folder with a store and an application to serve; servers, until they have answered."""
    if "curl " in block.text:
        require("curl")
    (tmp_path / "host.py").write_text(HOST)
    if "accounts create" not in block.text:
        shutil.copy(store, tmp_path)
    lines = [line for line in block.text.splitlines() if not installed(line)]
    served = [line for line in lines if line.startswith(SERVERS)]
    if served and shutil.which(served[0].split()[0], path=environment()["PATH"]) is None:
        assert served[0].startswith("uwsgi ")
        require("uwsgi")
    for line in served:
        status, body = serve(line, tmp_path).split(" ", 1)
        assert (status, json.loads(body)["Errors"][0]["Code"]) == ("401", 99998)
    if not served:
        done = shell("\n".join(lines), tmp_path)
        assert done.returncode == 0, f"{block.text}\n{done.stdout}{done.stderr}"
    assert served == lines or not served


@pytest.mark.database
@pytest.mark.parametrize("block", here("sql"))
def test_sql_runs(block: Block, tracking: EventTracking) -> None:
    """Each block is valid against the schema."""
    assert tracking.sql(block.text).columns


@pytest.mark.parametrize("block", here("json"))
def test_json_has_the_shape_that_it_is_shown_for(block: Block, request: pytest.FixtureRequest) -> None:
    """Answers satisfy their schemas; a plan's file is one; a webhook's payload has what a real one has."""
    shown = json.loads(block.text)
    shape = SHAPES[block.name]
    if shape == "plan":
        Plan(schemas={"checkout": shown})
    elif shape == "webhook":
        tracking: EventTracking = request.getfixturevalue("tracking")
        tracking.directory.create_account("acme")
        tracking.directory.create_list("acme", "Newsletter", 1)
        with receiving() as receiver:
            tracking.deliver(receiver.url, events=[shown["data"]["event"]])
            given = {key: shown["data"][key] for key in ("event", "email", "properties")}
            tracking.track(1, id=shown["data"]["external_id"], **given)
            (post,) = receiver.wait_for(1)
        real = json.loads(post.body)
        assert real.keys() == shown.keys()
        assert list(real["data"]) == list(shown["data"])
        assert {key: real["data"][key] for key in given} == given
        assert {key: type(value) for key, value in real["data"].items()} == {
            key: type(value) for key, value in shown["data"].items()
        }
    else:
        Draft202012Validator(load_schema(shape)).validate(shown)


def test_what_is_no_program_can_be_read() -> None:
    """Each block of HTML, scripts for web pages and files of settings."""
    for block in BLOCKS:
        if block.language in PARSERS and elsewhere(block) is None:
            PARSERS[block.language](block.text)


@pytest.mark.parametrize(
    ("language", "right", "wrong"),
    [
        ("html", "<p>a<br>b</p>", "<p><b>a</p></b>"),
        ("html", "<script src=x></script>", "<script>"),
        ("ini", "[Service]\nUser=events\n", "User=events\n"),
        ("js", "oct.eventT('x', {a: 1})", "oct.eventT('x', {a: 1)"),
        ("toml", "a = [1]", "a = [1"),
        ("yaml", "a: [1]", "a: [1"),
    ],
)
def test_what_cannot_be_read_is_refused(language: str, right: str, wrong: str) -> None:
    """So that a broken block of such a language fails."""
    PARSERS[language](right)
    with pytest.raises((ValueError, configparser.Error, yaml.YAMLError)):
        PARSERS[language](wrong)


def test_blocks_are_found_in_lists_and_by_either_fence() -> None:
    """With their indentation taken off, numbered by language."""
    text = "1. x\n\n   ```sh\n   a\n     b\n   ```\n\n~~~json\n{}\n~~~\n```sh\nc\n```\n"
    assert [(block.name, block.text) for block in blocks_of(text, "p")] == [
        ("p sh 0", "a\n  b\n"),
        ("p json 0", "{}\n"),
        ("p sh 1", "c\n"),
    ]
