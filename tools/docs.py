"""Generate the parts of docs/ that describe the code: `python -m tools.docs` renews them, `--check` names outdated pages.

A generated part stands between the comments `<!-- made by tools.docs: NAME -->` and `<!-- end -->`: in cli.md one part for each
command, in settings.md the table. A command without a part gets one at the end of the page. The text around the parts stays.
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


def list_commands(group: click.Group = cli, *path: str) -> Iterator[tuple[str, click.Command]]:
    """Yield every command below a group, with its full name."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from list_commands(command, *path, name)
        else:
            yield " ".join((*path, name)), command


def render_command(name: str, command: click.Command) -> str:
    """Render a command's help text, its arguments, and a row for each option."""
    context = click.Context(command, info_name=name)
    paragraphs = [" ".join(part.split()) for part in inspect.cleandoc(command.help or "").split("\n\n")]
    arguments = [found.make_metavar(context) for found in command.params if isinstance(found, click.Argument)]
    usage = " ".join(f"`{word}`" for word in (f"falcon-events {name}", *arguments, "[OPTIONS]"))
    rows = [_render_row(found, context) for found in command.params if isinstance(found, click.Option)]
    table = ["| option | default | |", "| --- | --- | --- |", *rows] if rows else []
    return "\n\n".join([*paragraphs, usage]) + "\n\n" + "".join(line + "\n" for line in table)


def render_settings() -> str:
    """Render a row for each setting."""
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
        lines.append("| " + " | ".join(_escape(cell) for cell in cells) + " |")
    return "".join(line + "\n" for line in lines)


def renew(page: str, parts: dict[str, str]) -> str:
    """Return a page with up-to-date parts: missing ones are added at its end, those of removed commands are removed."""
    missing = [name for name in parts if name not in {found[1] for found in PART.finditer(page)}]
    for name in missing:
        page += f"\n### `falcon-events {name}`\n\n<!-- made by tools.docs: {name} -->\n<!-- end -->\n"

    def replace(found: re.Match[str]) -> str:
        name = found[1]
        return f"<!-- made by tools.docs: {name} -->\n{parts[name]}<!-- end -->\n" if name in parts else ""

    return PART.sub(replace, page)


def find_outdated(docs: Path) -> dict[Path, str]:
    """Return the outdated pages of a folder with the text that they should have."""
    parts = {
        docs / "cli.md": {name: render_command(name, command) for name, command in list_commands()},
        docs / "settings.md": {"settings": render_settings()},
    }
    pages = {path: (path.read_text(encoding="utf-8"), made) for path, made in parts.items()}
    return {path: new for path, (old, made) in pages.items() if (new := renew(old, made)) != old}


def _render_row(option: click.Option, context: click.Context) -> str:
    kind = "" if option.is_flag else " " + option.make_metavar(context).strip("[]")
    spellings = ", ".join(f"`{spelling}{kind}`" if spelling.startswith("--") else f"`{spelling}`" for spelling in option.opts)
    default = "required" if option.required else "off" if option.is_flag else ""
    if option.show_default:
        default = f"`{option.default}`"
    help_ = " ".join((option.help or "").split())
    if option.envvar:
        help_ += f" Also the variable `{option.envvar}`."
    return "| " + " | ".join(_escape(cell) for cell in (spellings, default, help_)) + " |"


def _escape(text: str) -> str:
    return text.replace("|", "\\|")


def main(arguments: list[str], docs: Path = DOCS) -> int:
    """Renew the pages, or with --check only name the outdated ones; return the exit code."""
    check = "--check" in arguments
    late = find_outdated(docs)
    for path, text in late.items():
        if not check:
            path.write_text(text, encoding="utf-8")
        print(f"{path.name}: {'out of date' if check else 'renewed'}")
    return 1 if late and check else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
