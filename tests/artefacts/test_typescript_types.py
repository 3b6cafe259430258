"""plan types --typescript: what the compiler itself makes of the types, with right calls and with wrong ones."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.npm import TYPESCRIPT, compile_types, install
from tests.shortcuts import command

PLAN: dict[str, Any] = {
    "checkout": {
        "title": "Checkout",
        "description": "An order was paid. */ alert(1)",
        "type": "object",
        "required": ["total", "items", "$os"],
        "additionalProperties": False,
        "properties": {
            "total": {"type": "number", "description": "In euros."},
            "coupon": {"type": ["string", "null"]},
            "kind": {"enum": ["web", "app", 3]},
            "a-b": {"anyOf": [{"type": "integer"}, {"const": "none"}]},
            "items": {"type": "array", "items": {"$ref": "#/$defs/item"}},
            "$os": {"type": "string"},
        },
        "$defs": {
            "item": {
                "type": "object",
                "required": ["sku"],
                "properties": {"sku": {"type": "string"}, "parts": {"type": "array", "items": {"$ref": "#/$defs/item"}}},
            }
        },
    },
    "sign up": {
        "type": "object",
        "properties": {"plan": {"type": "string"}, "labels": {"additionalProperties": {"type": "string"}}},
    },
    "sign-up": {"properties": {"limits": {"type": "object", "additionalProperties": {"type": "integer"}}}},
    "2fa": {"type": "object", "additionalProperties": False},
    "anything": {},
    "tracker": {"properties": {"a": {"type": "string"}}},
    "order": {
        "properties": {"items": {"type": "array", "items": {"$ref": "#/$defs/item"}}},
        "$defs": {
            "item": {"required": ["price"], "properties": {"price": {"$ref": "#/$defs/money"}}},
            "money": {"required": ["currency"], "properties": {"currency": {"$ref": "#/$defs/currency"}}},
            "currency": {"enum": ["EUR", "USD"]},
        },
    },
    "refund": {
        "$ref": "#/$defs/base",
        "allOf": [{"required": ["reason"]}],
        "oneOf": [
            {"required": ["card"], "properties": {"by": {"const": "card"}, "card": {"type": "string"}}},
            {"required": ["iban"], "properties": {"by": {"const": "bank"}, "iban": {"type": "string"}}},
            {"type": "null"},
        ],
        "$defs": {"base": {"required": ["total"], "properties": {"total": {"type": "number"}, "reason": {"type": "string"}}}},
    },
    "search": {
        "properties": {"where": {"$ref": "#/$defs/T0"}, "again": {"$ref": "#"}},
        "$defs": {
            f"T{n}": {"anyOf": [{"properties": {f"of{n}{m}": {"$ref": f"#/$defs/T{m}"} for m in range(12)}}, {"type": "null"}]}
            for n in range(12)
        }
        | {
            "T3": {"type": "object", "additionalProperties": {"$ref": "#/$defs/T3"}},
            "T4": {"type": "array", "items": {"$ref": "#/$defs/T4"}},
            "T5": {"anyOf": [{"$ref": "#/$defs/T5"}, {"type": "string"}]},
        },
    },
    "custom": {"properties": {"a": {"type": "string"}}, "patternProperties": {"^x-": {"type": "string"}}},
    "rename": {"if": {"required": ["a"]}, "then": {"required": ["b"]}},
    "pageView": {
        "type": "object",
        "required": ["url", "section"],
        "properties": {"url": {"type": "string"}, "section": {"type": "string"}},
    },
    "conversion": {
        "type": "object",
        "required": ["conversion-id", "conversion-name", "conversion-value"],
        "properties": {"currency": {"type": "string"}},
    },
}
RIGHT = """
oct.eventT("checkout", { total: 12.5, items: [] });
oct.eventT("checkout", { total: 12.5, items: [{ sku: "a", parts: [{ sku: "b" }] }], coupon: null, kind: 3, $os: "x" });
oct.eventT("checkout", { total: 0, items: [], "a-b": "none" });
oct.eventT("sign up");
oct.eventT("sign up", { plan: "free" });
oct.eventT("sign-up", { limits: { seats: 3 } });
oct.eventT("2fa", {});
oct.eventT("anything", { at: { all: [1, "2"] } });
oct.eventT("tracker", { a: "x" });
oct.eventT("order", { items: [{ price: { currency: "EUR" } }] });
oct.eventT("refund", { total: 3, reason: "late", by: "card", card: "1" });
oct.eventT("refund", { total: 3, reason: "late", iban: "2" });
oct.eventT("search", { where: { of01: { of12: { of27: { of711: null } } } }, again: { where: null } });
oct.eventT("search", { where: { of03: { a: { b: {} } }, of04: [[], [[]]], of05: "x" } });
oct.eventT("custom", { a: "x", "x-b": "y" });
oct.eventT("rename", { a: 1, b: 2 });
oct.eventP();
oct.eventP("/shop", { section: "books" });
oct.eventP({ section: "books" });
oct.eventI("ada@example.com", { any: 1 }, { firstName: "Ada" });
oct.eventC("my-order-234", "purchase", 290.5, { currency: "EUR" });
oct.eventC("my-order-234", "purchase", "290.50");
window.oct.reset(); oct.optOut(); oct.optIn();
"""
WRONG = [
    'oct.eventT("chekout", { total: 12.5, items: [] });',
    'oct.eventT("checkout", { total: "much", items: [] });',
    'oct.eventT("checkout", { items: [] });',
    'oct.eventT("checkout");',
    'oct.eventT("checkout", { total: 1, items: [], totle: 1 });',
    'oct.eventT("checkout", { total: 1, items: [{ sku: 7 }] });',
    'oct.eventT("checkout", { total: 1, items: [], kind: "fax" });',
    'oct.eventT("sign up", { plan: 7 });',
    'oct.eventT("sign-up", { limits: { seats: "3" } });',
    'oct.eventT("2fa", { code: 1 });',
    'oct.eventT("tracker", { a: 7 });',
    'oct.eventT("order", { items: [{ price: { currency: "GBP" } }] });',
    'oct.eventT("refund", { total: "3", reason: "late", card: "1" });',
    'oct.eventT("refund", { total: 3, card: "1" });',
    'oct.eventT("refund", { total: 3, reason: "late" });',
    'oct.eventT("refund", { total: 3, reason: "late", by: "cash", card: "1" });',
    'oct.eventT("refund");',
    'oct.eventT("search", { where: { of01: { of12: { of27: { of711: 7 } } } } });',
    'oct.eventT("search", { where: { of03: { a: { b: 7 } } } });',
    'oct.eventT("search", { where: { of04: [[7]] } });',
    'oct.eventT("custom", { a: 7 });',
    'oct.eventP("/shop", { section: 7 });',
    "oct.eventI();",
    'oct.eventC("my-order-234", "purchase", true);',
    "oct.eventX();",
]

Compile = Callable[[str, str, str], subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def compile_(tmp_path_factory: pytest.TempPathFactory) -> Compile:
    """What the TypeScript compiler says of a script of right calls and one of wrong ones, with the types of a plan."""
    folder = tmp_path_factory.mktemp("typescript")
    install(folder, TYPESCRIPT)
    options = {"strict": True, "noEmit": True, "types": [], "skipDefaultLibCheck": True}  # its own types are not ours to check
    settings = {"compilerOptions": options, "files": ["tracker.d.ts", "right.ts", "wrong.ts"]}
    (folder / "tsconfig.json").write_text(json.dumps(settings))

    def run(types: str, right: str, wrong: str) -> subprocess.CompletedProcess[str]:
        (folder / "tracker.d.ts").write_text(types)
        (folder / "right.ts").write_text(right)
        (folder / "wrong.ts").write_text(wrong)
        return compile_types(folder)

    return run


def types_of(folder: Path, *options: str) -> str:
    """What the command prints."""
    for name, schema in PLAN.items():
        (folder / f"{name}.json").write_text(json.dumps(schema))
    done = command("plan", "types", "--typescript", "--plan", str(folder), *options)
    assert done.returncode == 0, done.stderr
    return done.stdout.decode()


def test_the_compiler_takes_right_calls_and_refuses_wrong_ones(compile_: Compile, tmp_path: Path) -> None:
    """Each wrong call is an error in its own line, and nothing else is one; texts of schemas cannot end a comment."""
    done = compile_(types_of(tmp_path), RIGHT, "\n".join(WRONG))
    assert errors(done) == [("wrong.ts", number) for number in range(1, len(WRONG) + 1)]
    assert done.returncode != 0


def errors(done: subprocess.CompletedProcess[str]) -> list[tuple[str, int]]:
    """File and line of each error; lines that go on with one are indented."""
    lines = [line for line in done.stdout.splitlines() if not line.startswith(" ")]
    found = [re.match(r"([\w.]+)\((\d+),\d+\): error", line) for line in lines]
    assert all(found), done.stdout
    return [(match[1], int(match[2])) for match in found if match]


def test_unknown_events_are_allowed_where_that_is_asked_for(compile_: Compile, tmp_path: Path) -> None:
    """Without making wrong calls of planned ones right; under another name, where the page has one."""
    types = types_of(tmp_path, "--allow-unknown", "--object", "shop")
    right = RIGHT.replace("oct.", "shop.") + 'shop.eventT("other", { a: 1 });'
    done = compile_(types, right, 'shop.eventT("checkout", { total: "much", items: [] });')
    assert errors(done) == [("wrong.ts", 1)]
    assert "error TS2769" in done.stdout


def test_a_name_that_is_none_is_refused(tmp_path: Path) -> None:
    """It would be part of a program."""
    (tmp_path / "a.json").write_text("{}")
    done = command("plan", "types", "--typescript", "--plan", str(tmp_path), "--object", "a;b")
    assert (done.returncode, done.stderr) == (2, b"falcon-events: --object 'a;b' must be a JavaScript name, such as oct.\n")


@pytest.mark.parametrize("name", ["class", "default", "name", "event", "status", "history", "await"])
def test_a_name_that_is_taken_is_refused(tmp_path: Path, name: str) -> None:
    """By JavaScript itself or by every window: the compiler would refuse the types."""
    (tmp_path / "a.json").write_text("{}")
    done = command("plan", "types", "--typescript", "--plan", str(tmp_path), "--object", name)
    reason = "is reserved by JavaScript or the browser's window; use another name, such as oct."
    assert (done.returncode, done.stderr.decode()) == (2, f"falcon-events: --object '{name}' {reason}\n")
