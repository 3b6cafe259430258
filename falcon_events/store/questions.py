"""Questions about a store's events: they wait for their list's turn, and are answered by readers."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial

from falcon_events.errors import EventsError, QueryTooLong, StoreClosed
from falcon_events.model.reports import QueryAnswer
from falcon_events.query.question import Forgetting, Saving, decode_question, find_base
from falcon_events.settings import Settings
from falcon_events.store.database import columns, duckdb, pruning
from falcon_events.store.engine.asked_properties import AskedProperties
from falcon_events.store.engine.question_queue import Waited
from falcon_events.store.engine.readers import Readers
from falcon_events.store.engine.writer import Writer
from falcon_events.store.queries import answers, saved

NO_MEMORY_TO_REBUILD = (
    "The typed columns cannot be rebuilt within the memory that the database may use. Raise the setting memory_limit_mb, and try"
    " again. Meanwhile, questions read the events themselves."
)


KEEPS_KEYS = (
    "The typed columns cannot be rebuilt, because old events of this store were deleted (lists rules --keep-days): what is kept"
    " of them has the present keys of visitors and addresses. Please report this."
)


class StoreQuestions:
    """Answers questions.

    Args:
        open_writer: opens the store if that was not done before, and returns its writer.
        readers: the store's readers.
        settings: how long a question may take.
    """

    def __init__(self, open_writer: Callable[[], Writer], readers: Readers, settings: Settings) -> None:
        self._open_writer = open_writer
        self._readers = readers
        self._settings = settings
        self._folds_columns = False
        self._asked = AskedProperties(settings.asked_properties)

    def query(self, question: bytes) -> Future[QueryAnswer]:
        """Answer a question from every event acknowledged so far.

        Args:
            question: the question (`Asked` in query/question.py), as MessagePack.

        Raises:
            QueryTooLong: in the future: it took longer than `query_timeout_s`.
            StoreUnavailable: in the future: there was no turn for it in that time, or the memory ran out.
        """
        settings = self._settings

        def read(connection: duckdb.DuckDBPyConnection) -> QueryAnswer:
            asked = decode_question(question)  # only now: while it waits, it takes fewer bytes
            return answers.answer(connection, asked, timeout_s=settings.query_timeout_s, session_gap_s=settings.session_gap_s)

        base = find_base(decode_question(question))
        answered = self._answer(question, base.list_id, read)
        properties = [name for name in base.list_dimensions() if name.startswith("property:")]
        answered.add_done_callback(lambda done: self._note_answered(done, base.list_id, properties))
        return answered

    def _note_answered(self, answered: Future[QueryAnswer], list_id: int, properties: list[str]) -> None:
        """Make the next question faster: give events columns, and count what properties were asked for."""
        self._fold_columns()
        if not properties or answered.cancelled():
            return
        error = answered.exception()
        if isinstance(error, QueryTooLong) or (error is None and not answered.result().failures):
            for name in self._asked.count(list_id, properties):
                with contextlib.suppress(StoreClosed):
                    self._open_writer().run(partial(self._asked.promote, list_id=list_id, name=name))

    def _fold_columns(self) -> None:
        """Have the events of the last question that had no typed columns get them, so that the next one is faster."""
        with contextlib.suppress(StoreClosed):
            writer = self._open_writer()
            if writer.upkeep.events_without_columns and not self._folds_columns:
                self._folds_columns = True
                folded = writer.run(lambda _: writer.upkeep.fold_columns(1))
                folded.add_done_callback(lambda _: setattr(self, "_folds_columns", False))

    def rebuild_columns(self) -> Future[None]:
        """Write the typed columns of all events anew. Events are stored and questions answered meanwhile.

        Raises:
            EventsError: in the future: the memory does not suffice, or old events were deleted because of their age.
        """
        writer = self._open_writer()

        def rebuild() -> None:
            writer.wait_until_applied()
            if writer.run(pruning.keeps_keys).result():
                raise EventsError(KEEPS_KEYS)
            writer.run(lambda _: writer.upkeep.clear_columns()).result()
            try:
                while writer.run(lambda _: writer.upkeep.fold_columns(1)).result():
                    pass  # each portion is a task of its own, so that other work has its turn
            except duckdb.OutOfMemoryException:
                raise EventsError(NO_MEMORY_TO_REBUILD) from None
            writer.run(lambda connection: connection.execute(columns.LOWER_WATERMARK)).result()

        return self._readers.run(rebuild)

    def change_saved(self, asked: bytes) -> Future[QueryAnswer]:
        """Save or forget a query or segment of a list: a Saving or Forgetting, as MessagePack.

        What is to be saved is checked as a question, in its list's turn, before the writer has to do with it.
        """
        change = decode_question(asked)
        if isinstance(change, Forgetting):
            return self._open_writer().run(lambda connection: saved.forget(connection, change))
        if not isinstance(change, Saving):
            raise TypeError(change)

        def save(checked: QueryAnswer) -> Future[QueryAnswer] | None:
            return (
                None if checked.failures else self._open_writer().run(lambda connection: answers.save_checked(connection, change))
            )

        def read(connection: duckdb.DuckDBPyConnection) -> QueryAnswer:
            return answers.check_saving(connection, change, timeout_s=self._settings.query_timeout_s)

        return self._answer(asked, change.base.list_id, read, save)

    def _answer(
        self,
        asked: bytes,
        list_id: int,
        read: Callable[[duckdb.DuckDBPyConnection], QueryAnswer],
        then: Callable[[QueryAnswer], Future[QueryAnswer] | None] | None = None,
    ) -> Future[QueryAnswer]:
        """Have a question answered in its list's turn."""
        writer, waits = self._open_writer(), Waited(list_id, self._settings.query_timeout_s, len(asked))
        return self._readers.query(lambda: writer.connection, read, before=writer.wait_until_applied, waits=waits, then=then)
