"""The commands plan check and plan types: compare a tracking plan with the stored events, and make types for web pages."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import click

from falcon_events.cli.common import LIST_ID, db_option, json_option, open_tracking, print_json, print_rows, require_list
from falcon_events.errors import PlanError
from falcon_events.plan.plan import Plan

plan_option = click.option(
    "--plan",
    "source",
    required=True,
    envvar="FALCON_EVENTS_PLAN_FOLDER",
    show_envvar=True,
    metavar="FOLDER|MODULE:NAME",
    help="The plan: a folder with a JSON Schema for each event, or a Plan in a Python module, also one in the current folder.",
)


@click.group()
def plan() -> None:
    """Compare a tracking plan with events, or make types."""


@plan.command()
@plan_option
@click.option("--list", "list_id", type=LIST_ID, metavar="N", help="The list; by default all lists.")
@click.option("--allow-unseen", is_flag=True, help="Accept planned events and properties that were never stored.")
@db_option
@json_option
def check(source: str, list_id: int | None, allow_unseen: bool, db: str, as_json: bool) -> None:
    """Compare the plan with the catalogue. Exit with 1 if they differ.

    Reported are: events that the plan does not have, planned events and properties that were never stored, required properties
    that some events lack, values of another type than planned, and properties that a schema excludes.
    """
    from falcon_events.plan.drift import find_drift

    planned = load_plan(source)
    with open_tracking(db) as tracking:
        if list_id is not None:
            require_list(tracking, list_id)
        observed = tracking.admin.observed_properties(list_id)
    found = [one for one in find_drift(planned, observed) if not (allow_unseen and one.kind.is_unseen)]
    if as_json:
        print_json(found)
    elif found:
        print_rows(found, False, {"event": "event", "property": "property", "kind": "drift", "found": "found"})
    else:
        click.echo(f"no drift: {len(planned.schemas)} planned events")
    if found:
        raise click.exceptions.Exit(1)


@plan.command()
@plan_option
@click.option("--typescript", is_flag=True, required=True, help="Print a TypeScript declaration file.")
@click.option("--object", "name", default="oct", show_default=True, help="The name of the tracker's object in the page.")
@click.option("--allow-unknown", is_flag=True, help="Let eventT also accept events that the plan does not have.")
def types(source: str, typescript: bool, name: str, allow_unknown: bool) -> None:
    """Print types for the tracker's calls. The compiler then reports calls with a wrong event or property."""
    from falcon_events.plan.typescript import render_typescript

    click.echo(render_typescript(load_plan(source), name=name, allow_unknown=allow_unknown), nl=False)


def load_plan(source: str) -> Plan:
    """Load the plan of a folder or of MODULE:NAME.

    Raises:
        PlanError: there is no valid plan; the message says what is wrong.
    """
    module, is_code, name = source.partition(":")
    if Path(source).exists() or not is_code:
        return Plan.from_folder(source)
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        found: object = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except PlanError:
        raise
    except (Exception, SystemExit) as error:  # a module that calls sys.exit() must not end this command with success
        raise PlanError(f"--plan {source}: it cannot be loaded: {type(error).__name__}: {error}") from error
    if not isinstance(found, Plan):
        raise PlanError(f"--plan {source}: this is a {type(found).__name__}; a Plan is needed.")
    return found
