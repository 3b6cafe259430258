"""Find the bucket or period of each event: a join with the starts of these."""

from __future__ import annotations

import math
from collections.abc import Sequence

from falcon_events.query.expressions import CTE, Parameters

_COLUMNS = ("number", "first_step", "next_step")
MOST_STEPS = 100_000
"""From this number of steps on, events are compared with the starts."""


def join_starts(name: str, intervals: Sequence[tuple[int, int]], moment: str, parameters: Parameters) -> tuple[CTE, str]:
    """Return a relation of intervals that follow each other, and the join that finds that of each event, as its `number`.

    From the second one on, the starts are a multiple of some step apart, such as an hour. So an event finds its interval by the
    number of its step, which takes a fraction of the time of comparing it with the starts.

    Args:
        name: the name of the relation.
        intervals: the start and the end of each, in microseconds since 1970. One without any time has no events.
        moment: the SQL of the time of an event, in microseconds since 1970. It is not before the first start.
        parameters: receives the statement's parameters.
    """
    filled = [(number, since) for number, (since, until) in enumerate(intervals) if since < until]
    numbers, starts = [number for number, _ in filled], [since for _, since in filled]
    first, last = (starts[1], starts[-1]) if len(starts) > 1 else (0, 0)
    step = math.gcd(*(since - first for since in starts[1:])) or 1
    if len(starts) < 2 or (last - first) // step > MOST_STEPS:
        unnested = f"unnest({parameters.add(numbers)}::bigint[]) as number, unnest({parameters.add(starts)}::bigint[]) as since"
        return (name, f"select {unnested}"), f"asof join {name} on {moment} >= {name}.since"
    steps = [-1, *((since - first) // step for since in starts[1:])]
    lists = [numbers, steps, [*steps[1:], steps[-1] + 1]]
    unnested = ", ".join(
        f"unnest({parameters.add(one)}::bigint[]) as {column}" for one, column in zip(lists, _COLUMNS, strict=True)
    )
    relation = f"select number, unnest(range(first_step, next_step)) as step from (select {unnested})"
    begun = parameters.add(first)
    passed = f"least(({moment} - {begun}) // {parameters.add(step)}, {parameters.add(steps[-1])})"
    return (name, relation), f"join {name} on {name}.step = case when {moment} < {begun} then -1 else {passed} end"
