"""Answers to questions, as the Python API returns them."""

from __future__ import annotations

from typing import Any

import msgspec


class QueryRow(msgspec.Struct, frozen=True, rename="pascal"):
    """One row of an answer: the values of the dimensions, the metrics, and the metrics in the range to compare with."""

    dimensions: list[str | None]
    metrics: list[int | float | None]
    compared: list[int | float | None] | None = None


class QueryResult(msgspec.Struct, frozen=True):
    """The answer to tracking.query(). `meta` and `query` are as in the HTTP answer."""

    rows: list[QueryRow] = msgspec.field(name="Results")
    meta: dict[str, Any] = msgspec.field(name="Meta")
    query: dict[str, Any] = msgspec.field(name="Query")


read_result = msgspec.json.Decoder(QueryResult).decode
