"""Writes what pages of docs/ say of the code: `python -m tools.docs` renews it, `--check` says what is out of date.

It stands between the comments `<!-- made by tools.docs: NAME -->` and `<!-- end -->`: in cli.md a part for each command, in
settings.md the table. A command without a part gets one at the end of the page; what is written around the parts stays.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from falcon_events.cli.main import cli
from falcon_events.settings import PREFIX, Settings

DOCS = Path(__file__).parents[1] / "docs"
PART = re.compile(r"<!-- made by tools\.docs: ([^\n]+) -->\n(.*?)<!-- end -->\n", re.DOTALL)


def commands(group: click.Group = cli, *path: str) -> Iterator[tuple[str, click.Command]]:
    """Every command below a group, by its full name."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, *path, name)
        else:
            yield " ".join((*path, name)), command


def command_part(name: str, command: click.Command) -> str:
    """What a command does, its arguments, and a row for each option."""
    context = click.Context(command, info_name=name)
    paragraphs = [" ".join(part.split()) for part in inspect.cleandoc(command.help or "").split("\n\n")]
    arguments = [found.make_metavar(context) for found in command.params if isinstance(found, click.Argument)]
    usage = " ".join(f"`{word}`" for word in (f"falcon-events {name}", *arguments, "[OPTIONS]"))
    rows = [_row(found, context) for found in command.params if isinstance(found, click.Option)]
    table = ["| option | default | |", "| --- | --- | --- |", *rows] if rows else []
    return "\n\n".join([*paragraphs, usage]) + "\n\n" + "".join(line + "\n" for line in table)


def settings_table() -> str:
    """A row for each setting."""
    lines = ["| setting | environment | unit | default | reason |", "| --- | --- | --- | --- | --- |"]
    for field in dataclasses.fields(Settings):
        default = ("yes" if field.default else "no") if isinstance(field.default, bool) else str(field.default)
        cells = (
            f"`{field.name}`",
            f"`{PREFIX}{field.name.upper()}`",
            field.metadata["unit"],
            f"`{default}`" if default else "nothing",
            field.metadata["reason"],
        )
        lines.append("| " + " | ".join(_cell(cell) for cell in cells) + " |")
    return "".join(line + "\n" for line in lines)


def renewed(page: str, parts: dict[str, str]) -> str:
    """A page with each part as it is now, those that it lacks at its end, and none that is no more."""
    missing = [name for name in parts if name not in {found[1] for found in PART.finditer(page)}]
    for name in missing:
        page += f"\n### `falcon-events {name}`\n\n<!-- made by tools.docs: {name} -->\n<!-- end -->\n"

    def replaced(found: re.Match[str]) -> str:
        name = found[1]
        return f"<!-- made by tools.docs: {name} -->\n{parts[name]}<!-- end -->\n" if name in parts else ""

    return PART.sub(replaced, page)


def outdated(docs: Path) -> dict[Path, str]:
    """The pages in a folder that are not as they should be, and how they should be."""
    parts = {
        docs / "cli.md": {name: command_part(name, command) for name, command in commands()},
        docs / "settings.md": {"settings": settings_table()},
    }
    pages = {path: (path.read_text(encoding="utf-8"), made) for path, made in parts.items()}
    return {path: new for path, (old, made) in pages.items() if (new := renewed(old, made)) != old}


def _row(option: click.Option, context: click.Context) -> str:
    kind = "" if option.is_flag else " " + option.make_metavar(context).strip("[]")
    spellings = ", ".join(f"`{spelling}{kind}`" if spelling.startswith("--") else f"`{spelling}`" for spelling in option.opts)
    default = "required" if option.required else "off" if option.is_flag else ""
    if option.show_default:
        default = f"`{option.default}`"
    help_ = " ".join((option.help or "").split())
    if option.envvar:
        help_ += f" Also the variable `{option.envvar}`."
    return "| " + " | ".join(_cell(cell) for cell in (spellings, default, help_)) + " |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def main(arguments: list[str], docs: Path = DOCS) -> int:
    """Renews the pages, or with --check only names those that are out of date; the exit code."""
    check = "--check" in arguments
    late = outdated(docs)
    for path, text in late.items():
        if not check:
            path.write_text(text, encoding="utf-8")
        print(f"{path.name}: {'out of date' if check else 'renewed'}")
    return 1 if late and check else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
