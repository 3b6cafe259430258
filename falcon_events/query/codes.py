"""The codes of a refused question, by the parameter or the reason. docs/answers.md lists them."""

from __future__ import annotations

RANGE, ZONE, METRICS, DIMENSIONS, FILTERS, ORDER, PAGE, STEPS, PEOPLE = 4, 5, 6, 7, 8, 9, 10, 11, 12
LIMITS = 13
PERSON = 14
NO_SAVED = 15
