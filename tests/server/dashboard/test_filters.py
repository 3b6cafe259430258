"""Filters: added, changed in place and removed, in words that people read."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest

from tests.server.dashboard.conftest import MARCH
from tests.server.dashboard.site import Site

PRICING, CHROME = '["is","path",["/pricing"]]', '["is","browser",["Chrome"]]'


def test_a_filter_is_changed_in_place(dashboard: Site) -> None:
    """Its words lead to the form with its fields filled; the other filters stay as and where they are."""
    seen = dashboard.get(range=MARCH, filter=[PRICING, CHROME])
    form = dashboard.get(seen.link("path is /pricing")).html
    for field in (
        'name="edit" value="0"',
        'name="dimension" value="path"',
        'value="is" selected',
        'name="value" value="/pricing"',
    ):
        assert field in form
    changed = dashboard.get(range=MARCH, filter=[PRICING, CHROME], edit="0", dimension="path", operator="contains", value="/x")
    query = parse_qs(urlsplit(changed.headers["location"]).query)
    assert query == {"range": [MARCH], "filter": ['["contains","path",["/x"]]', CHROME]}


@pytest.mark.parametrize("place", ["2", "-1", "x", "0"])
def test_a_place_where_no_filter_can_be_changed_changes_none(dashboard: Site, place: str) -> None:
    """The form adds a filter then, also where the filter is one that the form cannot make."""
    either = '["or",[["is","path",["/"]],["is","path",["/pricing"]]]]'
    seen = dashboard.get(range=MARCH, filter=[either], edit=place)
    assert seen.status == 200
    assert 'name="edit"' not in seen.html


@pytest.mark.parametrize(
    "condition", ['[">","property:seats",["many"]]', '[">=","property:seats",[true]]', '["is","path",[null]]']
)
def test_a_filter_that_no_form_makes_can_be_removed(dashboard: Site, condition: str) -> None:
    """The page is there, also where the condition cannot be asked: its parts say why."""
    seen = dashboard.get(range=MARCH, filter=[condition, CHROME], edit="0")
    assert seen.status == 200
    assert 'name="edit"' not in seen.html
    assert parse_qs(urlsplit(seen.link("\u00d7")).query)["filter"] == [CHROME]
