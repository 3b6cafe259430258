"""A page in the making: who looks, at what, which questions it asks, and how it is rendered."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Generic, TypeVar

import msgspec

from falcon_events.access.protocol import Principal, Scope
from falcon_events.contract.replies import Reply
from falcon_events.dashboard import options
from falcon_events.dashboard.answer_cache import AnswerCache, make_key
from falcon_events.dashboard.cookies import FORMS, find_cookie, find_form_secret, make_cookie, make_form_token
from falcon_events.dashboard.pickers import read_place
from falcon_events.dashboard.replies import file_reply, html_reply
from falcon_events.dashboard.requests import DashboardRequest
from falcon_events.dashboard.shared_links import check_guest_question, hide_persons, keep_shared_links
from falcon_events.dashboard.spellings import Spellings, spell
from falcon_events.dashboard.templates import Templates
from falcon_events.dashboard.view import COMPARISONS, DROPPED, RANGES, Links, View
from falcon_events.model.access import EventList, ListRules
from falcon_events.model.sender import HOST
from falcon_events.query.arguments import write_params
from falcon_events.runtime.steps import Steps
from falcon_events.tracking import EventTracking

T = TypeVar("T")

FORMS_AGE_S = 365 * 86400
"""How long a browser keeps its secret for forms, in seconds."""
MAX_CSV_ROWS = 10_000
CHANGES = frozenset({"save", "forget"})
"""Questions that change something, so that their answers are not kept."""
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""How a cell begins that a spreadsheet would run as a formula."""


class Answered(msgspec.Struct, Generic[T], frozen=True):
    """The result of a question, and how old it is in seconds."""

    result: T
    age_s: float


class AskedOnPage(msgspec.Struct, frozen=True):
    """A question that a page asked: its name, such as `funnel`, and the arguments of the Python API."""

    name: str
    arguments: dict[str, Any]


class SpelledQuestion(msgspec.Struct, frozen=True):
    """A question as people copy it: its name, such as `funnel`, and how it is written."""

    name: str
    written: Spellings


class Guest(msgspec.Struct, frozen=True):
    """How somebody visits a share, who sees the numbers of one page and nothing else.

    Attributes:
        is_public: whether the share is meant for everybody, so that search engines may list it.
    """

    is_public: bool = False


class Context:
    """The parts of a page.

    Args:
        tracking: the tracker that questions go to.
        templates: the templates of pages.
        cache: the answers that are shown again.
        request: the browser's request.
        principal: who looks.
        view: what the URL asks to show; its list is one that the principal may see, or 0.
        lists: the lists that the principal may see, as far as they are known.
        embedders: the pages that may show this one in a frame.
        links: writes the URLs of other pages; None: those of everybody who is signed in.
        guest: how a share is visited; None: somebody who is signed in looks.
        can_sign_out: whether the principal has a session of the dashboard's own.
    """

    def __init__(
        self,
        tracking: EventTracking,
        templates: Templates,
        cache: AnswerCache,
        request: DashboardRequest,
        principal: Principal,
        view: View,
        lists: Sequence[EventList],
        *,
        embedders: str = "'none'",
        links: Links | None = None,
        guest: Guest | None = None,
        can_sign_out: bool = False,
    ) -> None:
        self.tracking = tracking
        self.request = request
        self.principal = principal
        self.view = view
        self.lists = lists
        self.links = links or Links(view, request.query)
        self.guest = guest
        self.asked: list[AskedOnPage] = []
        """The questions that were asked, in order."""
        self.oldest_s = 0.0
        """The age of the oldest answer, in seconds."""
        self.is_bare = guest is not None
        """Whether the page has no way to others."""
        self.warnings: list[dict[str, Any]] = []
        """The warnings of the answers, each once."""
        self.messages: list[str] = []
        """Messages to the reader, such as one about a parameter that cannot be read."""
        self._templates = templates
        self._cache = cache
        self._embedders = embedders
        self._can_sign_out = can_sign_out
        self._form_secret = find_form_secret(request)

    @property
    def may_change(self) -> bool:
        """Whether the principal may change something: its scope is `full`."""
        return self.principal.scope is Scope.FULL

    @property
    def is_shared(self) -> bool:
        """Whether this is shown to a guest: without persons, other pages, forms and code."""
        return self.guest is not None

    @property
    def is_part(self) -> bool:
        """Whether a page asks for this as a part of itself."""
        return self.request.get("part") == "1"

    @property
    def wants_csv(self) -> bool:
        """Whether the table is asked for as CSV."""
        return self.request.get("csv") == "1"

    @property
    def rules(self) -> ListRules:
        """The rules of the list."""
        return self.tracking.directory.rules_of(self.view.list_id)

    @property
    def navigation(self) -> Sequence[tuple[str, str]]:
        """The paths and names of the pages that every page links to."""
        return options.NAVIGATION

    @property
    def section(self) -> str:
        """The path of the page in the navigation that this page belongs to."""
        page = self.request.page.partition(".")[0]
        return options.SECTIONS.get(page, page)

    @property
    def ranges(self) -> Mapping[str, str]:
        """The ranges of time to choose from."""
        return RANGES

    @property
    def comparisons(self) -> Mapping[str, str]:
        """The comparisons to choose from."""
        return COMPARISONS

    @property
    def dimensions(self) -> Mapping[str, str]:
        """The dimensions to choose from, with what people read."""
        return {name: options.LABELS.get(name, name) for name in options.DIMENSIONS}

    @property
    def operators(self) -> Mapping[str, str]:
        """The operators of filters to choose from."""
        return options.OPERATORS

    def list_hidden(self, without: Iterable[str]) -> list[tuple[str, str]]:
        """Return the parameters of this page's URL that a form keeps, but for those that it has fields for."""
        dropped = {*without, *DROPPED}
        pairs = [(name, value) for name, values in self.request.query.items() for value in values if name not in dropped]
        return pairs if "list" in self.request.query else [*pairs, ("list", str(self.view.list_id))]

    @property
    def changed_filter(self) -> tuple[int, tuple[str, str, str]] | None:
        """The place of the filter that the form changes, and what the form's fields have; None: it adds one."""
        place = read_place(self.request, self.view)
        fields = None if place is None else options.read_condition(self.view.filters[place])
        return None if place is None or fields is None else (place, fields)

    def can_change(self, condition: Any) -> bool:
        """Return whether the form for filters can show a condition."""
        return options.read_condition(condition) is not None

    def describe_filter(self, condition: Any) -> str:
        """Return a filter in words. Guests do not read which persons it names."""
        return options.describe_condition(hide_persons(condition) if self.is_shared else condition)

    def spell_questions(self) -> list[SpelledQuestion]:
        """Return the questions that this page asked, as a request, a command and a call in Python."""
        if self.is_shared:
            return []
        return [SpelledQuestion(one.name, spell(one.name, self.view.list_id, one.arguments)) for one in self.asked]

    def ask(self, name: str, kind: type[T], arguments: Mapping[str, Any], *, is_told: bool = True) -> Steps[Answered[T]]:
        """Ask a question about the list, or return an answer that is some seconds old.

        Args:
            name: which question, such as `query`.
            kind: the type of the result.
            arguments: the arguments of the Python API's method, but for the list.
            is_told: whether the page tells people the question, to ask it elsewhere.

        Raises:
            RequestRefused: with the documented codes.
        """
        given = {name: value for name, value in arguments.items() if value is not None}
        if self.is_shared:
            check_guest_question(name, given)
        asked = AskedOnPage(name, given)
        if is_told and asked not in self.asked:
            self.asked.append(asked)
        key = make_key(self.view.list_id, name, given)
        found = None if name in CHANGES else self._cache.find(key)
        if found is None:
            params = write_params({"list_id": self.view.list_id, **given})
            body = yield from self.tracking.pipeline.questions.ask(name, params, HOST)
            if name in CHANGES:
                self._cache.clear()
            else:
                self._cache.keep(key, body)
            found = body, 0.0
        body, age_s = found
        self.oldest_s = max(self.oldest_s, age_s)
        result = msgspec.json.decode(body, type=kind)
        found_warnings = getattr(result, "meta", {}).get("Warnings", []) if is_told else []
        self.warnings += [one for one in found_warnings if one not in self.warnings]
        return Answered(result, age_s)

    def forget_answers(self) -> None:
        """Forget the answers that are kept, after a change of what is stored."""
        self._cache.clear()

    def render(self, template: str, *, status: int = 200, title: str = "", **data: Any) -> Reply:
        """Render a page, or only its main part if a page asks for it.

        Args:
            template: the file's name in `templates/`.
            status: the HTTP status.
            title: the page's title.
            data: what the template shows.
        """
        text = self._templates.render(
            template,
            page=self,
            view=self.view,
            links=self.links,
            title=title,
            layout="part.html" if self.is_part else "shared.html" if self.is_bare else "page.html",
            form_token=make_form_token(self.tracking.store.uuid_namespace, self._form_secret),
            can_sign_out=self._can_sign_out,
            zone=self.rules.time_zone,
            **data,
        )
        headers: tuple[tuple[str, str], ...] = ()
        if self.guest is not None:
            headers = () if self.guest.is_public else (("X-Robots-Tag", "noindex"),)
            text = keep_shared_links(text)
        elif not self.is_part and find_cookie(self.request, FORMS) != self._form_secret:
            headers = (make_cookie(self.request, FORMS, self._form_secret, FORMS_AGE_S),)
        referrer = "no-referrer" if self.is_bare else "same-origin"
        return html_reply(text, status=status, embedders=self._embedders, referrer=referrer, headers=headers)

    def refuse(self, reasons: Sequence[str], *, status: int = 422, title: str = "This cannot be asked") -> Reply:
        """Render why a page cannot be shown."""
        return self.render("refused.html", status=status, title=title, reasons=reasons)

    def render_fragment(self, template: str, **data: Any) -> str:
        """Render a template that is no page of its own."""
        return self._templates.render(template, zone=self.rules.time_zone, **data)

    def csv(self, name: str, header: Iterable[str], rows: Iterable[Sequence[Any]]) -> Reply:
        """Return a table as a CSV file (RFC 4180), in UTF-8.

        Args:
            name: the file's name without ending; letters, digits and hyphens.
            header: the names of the columns.
            rows: the cells. Text that a spreadsheet would run as a formula gets an apostrophe in front.
        """
        file = io.StringIO()
        writer = csv.writer(file, lineterminator="\r\n")
        writer.writerow(header)
        writer.writerows([_write_cell(cell) for cell in row] for row in rows)
        return file_reply(file.getvalue().encode("utf-8", "replace"), "text/csv; charset=utf-8", f"{name}.csv")


Show = Callable[[Context], Steps[Reply]]
"""Makes a page, or handles a form."""


class Page(msgspec.Struct, frozen=True):
    """The functions behind a path below the dashboard's root.

    Attributes:
        show: makes the page (GET).
        act: handles a form of the page (POST); it needs the scope `full`.
        needs_list: whether the page is about a list.
    """

    show: Show | None = None
    act: Show | None = None
    needs_list: bool = True


def _write_cell(value: Any) -> Any:
    if isinstance(value, str):
        return f"'{value}" if value.lstrip(" \n").startswith(_FORMULA) else value
    return "" if value is None else value
