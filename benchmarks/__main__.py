"""Run all benchmarks with one command, compare two runs, and write figures into pages: python -m benchmarks."""

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
    """Run the named benchmarks one after the other, and append their figures to results.jsonl as they arrive."""
    out.mkdir(parents=True, exist_ok=True)
    results = out / "results.jsonl"
    with results.open("w") as file:
        for name in names:
            for script, *options in plan[name]:
                print(f"== {script} {' '.join(options)}", file=sys.stderr, flush=True)
                command = [sys.executable, "-m", f"benchmarks.{script}", *options, "--json"]
                done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
                if done.returncode:
                    fail(f"{script} exited with {done.returncode}; {results} has the figures of the benchmarks before it")
                for line in done.stdout.splitlines():
                    file.write(json.dumps({"benchmark": script, **_with_workers(json.loads(line), options)}) + "\n")
                file.flush()
    report(load(results), out, None)


def report(records: list[Record], out: Path, page: Path | None) -> None:
    """Write results.md and the charts; with a page, also write the tables between its two markers."""
    from benchmarks.charts import draw

    text = "\n\n".join(part for part in (glance(records), markdown(records)) if part)
    (out / "results.md").write_text(text)
    for path in (out / "results.md", *draw(records, out)):
        print(path)
    if page is not None:
        before, begin, rest = page.read_text().partition(BEGIN)
        _, end, after = rest.partition(END)
        if not begin or not end:
            fail(f"{page}: {BEGIN} and {END} are missing", 2)
        page.write_text(f"{before}{BEGIN}\n\n{text}\n{END}{after}")
        print(page)


def _with_workers(record: Record, options: list[str]) -> Record:
    """Add the number of workers to a record."""
    workers = int(options[options.index("--workers") + 1]) if "--workers" in options else 1
    return {"workers": workers, **record}


def main() -> None:
    """Run, compare or report."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    commands = parser.add_subparsers(dest="command")
    running = commands.add_parser("run", help="run benchmarks (the default)")
    running.add_argument("names", nargs="*", metavar="NAME", help=f"any of {', '.join(FULL)}; default: all")
    running.add_argument("--quick", action="store_true", help="a smoke test of three minutes; its figures mean nothing")
    running.add_argument("--out", type=Path, default=Path("benchmark-results"), help="folder for figures and charts")
    comparing = commands.add_parser("compare", help="print how the figures changed; exit with 1 if one became worse")
    comparing.add_argument("old", type=Path, metavar="OLD")
    comparing.add_argument("new", type=Path, metavar="NEW")
    comparing.add_argument("--threshold", type=float, default=0.1, help="share by which a figure may become worse (0.1)")
    reporting = commands.add_parser("report", help="make tables and charts of saved results, and write the tables into a page")
    reporting.add_argument("results", type=Path, metavar="RESULTS")
    reporting.add_argument("--page", type=Path, help=f"a page that contains {BEGIN} and {END}")
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
        fail(f"no benchmark {min(unknown)!r}; choose from {', '.join(FULL)}", 2)
    run(plan, [name for name in given.names or plan if name in plan], given.out)


if __name__ == "__main__":
    main()
