"""The relations that questions read. The store defines them (store/queries/answer_source.py); nothing here names a table.

`events` has one row for each event of the list. A statement gets those of these columns that its text names, and no others, so a
column that it does not need costs nothing:

| column | type | what |
| --- | --- | --- |
| `seq` | bigint | the order in which events were stored |
| `event_id` | uuid | the event's own id |
| `event` | varchar | the event type |
| `visitor` | uuid | the visitor |
| `external_id` | varchar | the visitor's id in the sender's system, or a generated one |
| `email` | varchar | the event's own address in lower case, or null |
| `person` | varchar | the person: an address in lower case, or the visitor as text |
| `visitor_key`, `person_key` | any | a value for each visitor and each person within a statement, fast to group by and to count |
| `occurred_at`, `received_at` | timestamp | when it happened, and when it arrived, UTC |
| `url`, `host`, `path`, `title`, `referrer`, `referring_domain` | varchar | the page; `url` without query and fragment |
| `utm_source`, `utm_medium`, `utm_campaign`, `utm_term`, `utm_content` | varchar | of the event's own URL, decoded; never empty |
| `browser`, `browser_version`, `os`, `device_type`, `language`, `screen` | varchar | the browser; `screen` as `1920x1080` |
| `bot` | boolean | whether it has a value of `$bot` |
| `automatic` | boolean | whether it is an identify event that was stored beside another event |
| `conversion_id`, `conversion_value` | varchar, double | of a conversion; else null |
| `properties` | json | the properties |
| `value_1`, `nested_1`, `value_2`, ... | varchar, boolean | a promoted property as text, and whether it is an array or object |

`unowned` has the same rows, without `person` and `person_key`, which take time to find.

`persons` has one row for each person of the list, and maybe for others: `person_key`, `name` (varchar: `person` of events),
`address` (varchar, null for a visitor) and `visitor` (uuid, null for an address).

`visitors` has one row for each visitor and each pair of a visitor and an address that an event of it has, and maybe others:
`visitor` (uuid) and `email` (varchar, or null).

`traits` has one row for each binding with traits: `visitor` (uuid), `person` (varchar, the address), `traits` (json),
`bound_at` (timestamp) and `place` (bigint), the order of those of one moment.

Of events that a list's rule has deleted because of their age, these relations tell what is left:

- `firsts` has one row for the first event of each event type, visitor and person: `seq`, `event`, `visitor_key`, `person_key`,
  `occurred_at`, `bot` and `automatic`, as in `events`.
- `totals` has one row for each day and event type, and one for each day where `event` is null: `time_zone`, `occurred_at` (when
  the day began), `event`, and the metrics `events`, `people`, `visitors`, `views`, `conversions` and `revenue`.
- `units` has the persons and visitors whom the totals of some days count: `time_zone`, `occurred_at` and `event` as in `totals`,
  `is_person` and `unit` (varchar: the `person_key` or the `visitor_key`).
- `orders` has the `digest` (MD5) of each order that was counted.
"""

from __future__ import annotations

from typing import Any

import msgspec


class Source(msgspec.Struct, frozen=True):
    """The relations as SELECTs, and the parameters that all of them use.

    `events`, `unowned`, `persons`, `visitors` and `firsts` stand in parentheses, in a statement that begins with `with`.
    `promoted` has the number of the columns of each promoted property, by its name. Where nothing was deleted, the last four are
    empty texts; `units` also where all of its days are complete.
    """

    events: str
    unowned: str
    persons: str
    visitors: str
    traits: str
    parameters: dict[str, Any]
    promoted: dict[str, int] = {}
    firsts: str = ""
    totals: str = ""
    units: str = ""
    orders: str = ""


class Deletion(msgspec.Struct, frozen=True):
    """The events that a list's rule has deleted because of their age. All that happened from `before` on are left.

    `before` is in microseconds since 1970, and the beginning of `day`, a local day such as `2026-03-29`. `zones` has each time
    zone of whose days there are totals, with when the first and the last of these days began.
    """

    before: int
    day: str
    zones: list[tuple[str, int, int]] = []


class Extent(msgspec.Struct, frozen=True):
    """The times of a list's first and last events, in microseconds since 1970, and the highest `seq`; None: no events.

    Deleted events are included.
    """

    first: int | None
    last: int | None
    newest_seq: int | None
    deletion: Deletion | None = None

    @property
    def as_of(self) -> int:
        """The highest `seq`; 0 if there are no events."""
        return self.newest_seq or 0

    @property
    def limits(self) -> tuple[int, int] | None:
        """The times of the first and the last event; None if there is none."""
        return None if self.first is None or self.last is None else (self.first, self.last)
