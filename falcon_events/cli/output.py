"""The files that commands write: where they may be, and how a finished file gets its name."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from falcon_events.errors import EventsError
from falcon_events.files.targets import check_target

F = TypeVar("F", bound=Callable[..., Any])


def force_option(*names: str, what: str) -> Callable[[F], F]:
    """Add --force, which lets a command replace a file.

    Args:
        names: other names of the option.
        what: the argument that names the file.
    """
    return click.option("--force", *names, "force", is_flag=True, help=f"Replace {what} if it exists; a store is never replaced.")


def check_output(argument: str, given: str, db: str, *, force: bool, is_backup: bool = False) -> Path:
    """Check a file that a command will write, and return its path without symbolic links, or that of a device or pipe as given.

    Args:
        argument: the argument that names the file, such as `--output`; empty: the file's name says enough.
        given: the file's path.
        db: the path of the store.
        force: whether an existing file may be replaced, or is kept under another name.
        is_backup: whether the file will be a store, which may replace another one that no process uses.

    Raises:
        EventsError: the file belongs to a store, exists already, or cannot be there.
    """
    named = f"{argument} {given}".strip() if given else f"{argument} {given!r}".strip()
    path = Path(given)
    if not given or path.is_dir():
        raise EventsError(f"{named}: the path of a file is needed.")
    if is_stream(path):
        return path
    try:
        target = check_target(given, Path(db), is_backup=is_backup)
    except EventsError as error:
        raise EventsError(f"{argument} {error}".strip()) from None
    if not target.parent.is_dir():
        raise EventsError(f"{named}: there is no folder {target.parent}.")
    if target.exists() and not force:
        raise EventsError(f"{named} exists already; give another path, or --force to replace it.")
    return target


def is_stream(path: Path) -> bool:
    """Return whether a path leads to a device or a pipe, which is written to instead of being replaced."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return stat.S_ISCHR(mode) or stat.S_ISFIFO(mode)


def put_in_place(finished: Path, target: Path, *, force: bool) -> None:
    """Give a finished file its name, so that a file of this name is always complete.

    Raises:
        EventsError: another process has created the file meanwhile, and `force` is false.
    """
    if not force:
        try:
            os.link(finished, target)
        except FileExistsError:
            raise EventsError(f"{target} exists already; give another path, or --force to replace it.") from None
        except OSError:
            pass  # a filesystem without hard links
        else:
            finished.unlink()
            return
    finished.replace(target)
