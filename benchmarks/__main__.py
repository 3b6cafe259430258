"""All benchmarks by one command: python -m benchmarks; compares two runs of them, and writes figures into pages."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

from benchmarks.common import ROOT, fail
from benchmarks.plans import FULL, QUICK, Plan
from benchmarks.results import Record, compare, load, markdown
from benchmarks.targets import glance

BEGIN, END = "<!-- figures -->", "<!-- /figures -->"


def run(plan: Plan, names: list[str], out: Path) -> None:
    """Runs the named benchmarks one after the other; their figures are appended to results.jsonl as they come."""
    out.mkdir(parents=True, exist_ok=True)
    kept = out / "results.jsonl"
    with kept.open("w") as file:
        for name in names:
            for script, *options in plan[name]:
                print(f"== {script} {' '.join(options)}", file=sys.stderr, flush=True)
                command = [sys.executable, "-m", f"benchmarks.{script}", *options, "--json"]
                done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
                if done.returncode:
                    fail(f"{script} ended with {done.returncode}; what came before is in {kept}")
                for line in done.stdout.splitlines():
                    file.write(json.dumps({"benchmark": script, **_with_workers(json.loads(line), options)}) + "\n")
                file.flush()
    report(load(kept), out, None)


def report(records: list[Record], out: Path, page: Path | None) -> None:
    """Writes results.md and the charts, and the tables into a page between two marks."""
    from benchmarks.charts import draw

    text = "\n\n".join(part for part in (glance(records), markdown(records)) if part)
    (out / "results.md").write_text(text)
    for path in (out / "results.md", *draw(records, out)):
        print(path)
    if page is not None:
        before, begin, rest = page.read_text().partition(BEGIN)
        _, end, after = rest.partition(END)
        if not begin or not end:
            fail(f"{page} has no {BEGIN} and {END}", 2)
        page.write_text(f"{before}{BEGIN}\n\n{text}\n{END}{after}")
        print(page)


def _with_workers(record: Record, options: list[str]) -> Record:
    """The record, and how many workers answered."""
    workers = int(options[options.index("--workers") + 1]) if "--workers" in options else 1
    return {"workers": workers, **record}


def main() -> None:
    """Runs, compares or reports."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    commands = parser.add_subparsers(dest="command")
    running = commands.add_parser("run", help="run benchmarks (the default)")
    running.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(FULL)}; all where none is given")
    running.add_argument("--quick", action="store_true", help="a smoke test of three minutes, whose figures say nothing")
    running.add_argument("--out", type=Path, default=Path("benchmark-results"), help="the folder for figures and charts")
    comparing = commands.add_parser("compare", help="print how figures have changed; exit 1 where one has become worse")
    comparing.add_argument("old", type=Path, metavar="OLD")
    comparing.add_argument("new", type=Path, metavar="NEW")
    comparing.add_argument("--threshold", type=float, default=0.1, help="by which part a figure may become worse (0.1)")
    reporting = commands.add_parser("report", help="make tables and charts of kept results, and write them into a page")
    reporting.add_argument("results", type=Path, metavar="RESULTS")
    reporting.add_argument("--page", type=Path, help=f"a page with {BEGIN} and {END}")
    words = sys.argv[1:]
    if not {"compare", "report", "run", "-h", "--help"} & set(words[:1]):
        words = ["run", *words]
    given = parser.parse_args(words)
    if given.command == "compare":
        worse = 0
        for name, old, new, spread, is_worse in compare(load(given.old), load(given.new), given.threshold):
            worse += is_worse
            print(f"{name}: {old:.3f} -> {new:.3f} (x{new / old:.2f}, spread ±{spread:.0%}){'  WORSE' if is_worse else ''}")
        raise SystemExit(1 if worse else 0)
    if given.command == "report":
        report(load(given.results), given.results.parent, given.page)
        return
    plan = QUICK if given.quick else FULL
    if unknown := set(given.names) - set(FULL):
        fail(f"{min(unknown)!r} is none of {', '.join(FULL)}", 2)
    run(plan, [name for name in given.names or plan if name in plan], given.out)


if __name__ == "__main__":
    main()
