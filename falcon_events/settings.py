"""The settings, each with its unit, default and reason. They are read from keyword arguments and the environment."""

from __future__ import annotations

import dataclasses
import importlib.util
import ipaddress
import logging
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from falcon_events.errors import SettingError

logger = logging.getLogger(__name__)

PREFIX = "FALCON_EVENTS_"
OTHER_VARIABLES = frozenset({f"{PREFIX}DB", f"{PREFIX}CACHE"})
"""Variables that are no settings of a tracker: those of the command and of its executable."""
_warned: set[str] = set()
_TRUTH = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
IPV4_MAPPED_BITS = 96
"""The number of bits in front of an IPv4 address in its IPv6 form (RFC 4291, 2.5.5.2)."""

_MOST = 2**40
"""The largest value of a number without a limit of its own: more than anybody needs, and accepted wherever it is passed on."""


def _number(default: Any, unit: str, reason: str, least: int = 0, most: int = _MOST) -> Any:
    return dataclasses.field(default=default, metadata={"unit": unit, "reason": reason, "least": least, "most": most})


def _text(default: str, unit: str, reason: str, pattern: str) -> Any:
    return dataclasses.field(default=default, metadata={"unit": unit, "reason": reason, "pattern": pattern})


def _secret(unit: str, reason: str, pattern: str) -> Any:
    """Declare a text, empty by default, that neither `repr` nor an error shows."""
    metadata = {"unit": unit, "reason": reason, "pattern": pattern, "secret": True}
    return dataclasses.field(default="", repr=False, metadata=metadata)


def _match_path_except(taken: str) -> str:
    """Return a pattern for a path that is neither one of these nor an endpoint's. The empty text matches, too."""
    return rf"(?:(?!/(?:api/v1/.*|healthz|readyz|metrics|tracker|docs|docs/.*|{taken})$)(?:/[A-Za-z0-9._~-]+)+)?"


_ORIGIN = r"https?://(?:\[[0-9A-Fa-f:.]+\]|(?:\*\.)?[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*)(?::[0-9]{1,5})?"
_ORIGINS = rf"\s*(?:{_ORIGIN}(?:[\s,]+{_ORIGIN})*)?[\s,]*"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings of a tracker. Every field can also be set as FALCON_EVENTS_<NAME> in the environment.

    Raises:
        SettingError: a value has the wrong type or is out of range.
    """

    max_body_bytes: int = _number(
        1 << 20, "bytes", "the largest request body; a larger one gets 413 and is not read to its end", 1
    )
    body_bytes: int = _number(
        64 << 20,
        "bytes",
        "how many bytes of request bodies one process holds at once while they arrive and are checked; beyond that, the one "
        "that takes longest to arrive, or the newest, gets 503; on WSGI, bodies of up to 64 KiB are not counted",
        1,
    )
    body_wait_s: float = _number(
        30.0,
        "seconds",
        "how long a request's body may take to arrive before it gets 408; mounted into a WSGI application, this is checked after "
        "each 64 KiB only, and the wait for them is up to the server",
        0.1,  # type: ignore[arg-type]
        3600,
    )
    answer_bytes: int = _number(
        64 << 20,
        "bytes",
        "how many bytes of answers of over 256 KiB one process holds at once for clients that have not read them yet; beyond "
        "that, such an answer to a query or question is replaced by 503",
        1,
    )
    answer_wait_s: float = _number(
        60.0,
        "seconds",
        "how long a client may take to read such an answer before its connection is ended; on granian (WSGI), how long it may "
        "read nothing of it; mounted into another WSGI application, this is up to the server",
        0.1,  # type: ignore[arg-type]
        3600,
    )
    anonymous_events: bool = _number(
        False, "yes or no", "whether events other than identify are accepted with neither an email address nor a UUID"
    )
    hide_known_addresses: bool = _number(
        False,
        "yes or no",
        "whether keys of scope ingest that are bound to web origins always get the answer for a new address: identify_event_sent "
        "is true for every event with an address, so a page does not learn which addresses are known",
    )
    event_id_window_s: int = _number(
        48 * 3600, "seconds", "how long a sender's EventID is remembered, so that a repeat is stored once", 1
    )
    queue_events: int = _number(
        10_000, "events", "how many events may wait for a commit; when the queue is full, further events get 503 at once", 1
    )
    queue_bytes: int = _number(
        64 << 20,
        "bytes",
        "how many bytes of request bodies may wait for a commit; it keeps large events from filling the memory",
        1,
    )
    batch_events: int = _number(1_000, "events", "how many events one commit stores at most", 1)
    fold_events: int = _number(
        5_000,
        "events",
        "how many events the catalogue may lag behind; typed columns may lag twice as far; "
        "a property query reads about as many, and a fold takes 3 ms per 1,000",
        1,
    )
    max_property_names: int = _number(
        100_000,
        "names",
        "how many property names a list may have, counted for each event type; events that would add more get 422 (code 19)",
        1,
    )
    max_event_types: int = _number(
        10_000, "event types", "how many event types a list may have; events that would add more get 422 (code 20)", 1
    )
    binding_cache: int = _number(
        100_000, "bindings", "how many bindings of a visitor to an email address are kept in memory, about 300 bytes each", 1
    )
    filter_mb: int = _number(
        512,
        "megabytes",
        "how much memory the filters that recognize EventIDs and bindings may use, half for each; one takes 2.8 bytes, or fewer "
        "when the memory is nearly used up, and is then looked up more often",
        1,
        1 << 16,
    )
    memory_limit_mb: int = _number(
        384,
        "megabytes",
        "how much memory the database may use; larger queries spill to disk and still finish, and a checkpoint of large events "
        "may take more for a moment",
        64,
    )
    threads: int = _number(2, "threads", "how many cores the database may use at once", 1, 256)
    checkpoint_wal_mb: int = _number(
        256,
        "megabytes",
        "the size of the write-ahead log at which the database checkpoints by itself; usually a checkpoint is made earlier, "
        "so that the store opens quickly",
        1,
        1 << 24,
    )
    sql_time_s: float = _number(
        60.0,
        "seconds",
        "how long a query of `falcon-events sql` or `tracking.sql()` may take before it is ended",
        0.1,  # type: ignore[arg-type]
        86_400,
    )
    sql_rows: int = _number(100_000, "rows", "how many rows the result of such a query may have", 1)
    sql_bytes: int = _number(
        64 << 20,
        "bytes",
        "how large the result of such a query may be; the process that asks needs several times as much",
        1,
        1 << 29,
    )
    sql_memory_mb: int = _number(
        256,
        "megabytes",
        "how much memory the database may use for such a query, in the query's own process; larger queries spill to disk",
        64,
    )
    query_timeout_s: float = _number(
        10.0,
        "seconds",
        "how long a question may wait for its turn, and then how long it may take before it is ended",
        0.1,  # type: ignore[arg-type]
        3600,
    )
    query_slots: int = _number(2, "questions", "how many questions are answered at once; others wait", 1, 64)
    asked_properties: int = _number(
        5,
        "properties",
        "how many properties of a list get a column by themselves, because questions ask for them often; beside those that"
        " `falcon-events lists rules --index` names, and together with them at most 20; 0: none",
        0,
        20,
    )
    session_gap_s: float = _number(
        1800.0,
        "seconds",
        "the time without an event of a visitor that ends a session, for questions about sessions",
        1.0,  # type: ignore[arg-type]
        86_400,
    )
    commit_wait_s: float = _number(
        10.0,
        "seconds",
        "how long a request waits for its commit, or for the file to be opened, before it gets 503",
        0.1,  # type: ignore[arg-type]
        86_400,
    )
    lock_wait_s: float = _number(
        2.0,
        "seconds",
        "how long opening the store waits until another program, such as a DuckDB shell, releases the file",
        0,
        86_400,
    )
    rate_limit_per_key: int = _number(
        0, "requests per minute", "how many requests one key or session may make, in all processes together; 0: no limit"
    )
    rate_limit_per_address: int = _number(
        0, "requests per minute", "how many requests one client address may make, in all processes together; 0: no limit"
    )
    client_address: str = _text(
        "none",
        "none, truncated, hashed or full",
        "how a client's address is stored: not at all, as its network (/24 or /48), as a hash with a daily salt, or in full",
        "none|truncated|hashed|full",
    )
    trusted_proxies: str = _text(
        "",
        "addresses or networks, separated by commas, or nothing",
        "the proxies trusted to name the client's address in X-Forwarded-For; empty: none",
        r"[0-9A-Fa-f:./, ]*",
    )
    tracker_path: str = _text(
        "/tracker.js",
        "a path below the mount's prefix, or nothing",
        "where the tracker's script is served; blocker lists do not have a path of your own choice; empty: not served",
        _match_path_except(r"openapi\.json"),
    )
    openapi_path: str = _text(
        "",
        "a path below the mount's prefix, or nothing",
        "where a mounted tracker serves the API's OpenAPI document; empty: not served, because many applications have an "
        "/openapi.json of their own. The standalone server always serves /openapi.json, and /docs for people",
        _match_path_except(r"tracker\.js"),
    )
    delivery_backoff_s: float = _number(
        5.0,
        "seconds",
        "the wait before an event that a webhook's receiver refused is posted again; later waits grow from it, up to a day",
        0.00001,  # type: ignore[arg-type]
        3600,
    )
    delivery_timeout_s: float = _number(
        15.0,
        "seconds",
        "how long a webhook's receiver may take to reply to one event",
        0.1,  # type: ignore[arg-type]
        300,
    )
    plan_folder: str = _text(
        "",
        "the path of a folder, or nothing",
        "the tracking plan that events are checked against: a JSON Schema for each event's properties; empty: no plan",
        r"[^\0]*",
    )
    plan_violations: str = _text(
        "reject",
        "reject or report",
        "what happens to an event that violates the plan: `reject` refuses it with code 17, `report` stores and counts it",
        "reject|report",
    )
    plan_unknown: str = _text(
        "allow", "allow, reject or report", "what happens to an event that the plan does not have", "allow|reject|report"
    )
    smtp_url: str = _secret(
        "smtp://USER:PASSWORD@HOST:PORT, smtps:// or smtp+insecure:// in place of smtp://, or nothing",
        "the mail server that reports are sent by; smtp needs STARTTLS unless the host is this machine, smtps begins with TLS, "
        "and smtp+insecure also sends without encryption; `USER:PASSWORD@` may be left out",
        r"(?:smtp|smtps|smtp\+insecure)://(?:[^\s/@:]+:[^\s/@]*@)?(?:[^\s/@:\[\]?#]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?/?|",
    )
    mail_from: str = _text(
        "",
        "an address such as reports@example.com or Reports <reports@example.com>, or nothing",
        "the sender of reports",
        r"[^\x00-\x1f\x7f]*",
    )
    dashboard_embedders: str = _text(
        "",
        "origins such as https://intranet.example.com or https://*.example.com, separated by commas or spaces, or nothing",
        "the sites whose pages may show the dashboard in a frame; empty: none. Browsers keep the session of somebody who signs in"
        " with a key only in frames of the same site, such as another host of your domain. Shares that may be embedded do not"
        " need it",
        _ORIGINS,
    )
    temporary_store: bool = _number(
        False,
        "yes or no",
        "whether a temporary store takes the place of the file that the tracker is given, and is deleted at exit; for tests, so"
        " that they never touch a live store",
    )
    log_requests: bool = _number(False, "yes or no", "whether each request is logged in one line, without its contents")

    def __post_init__(self) -> None:
        if (self.rate_limit_per_key or self.rate_limit_per_address) and importlib.util.find_spec("limits") is None:
            raise SettingError(
                "rate_limit_per_key and rate_limit_per_address need the extra `limits`: pip install 'falcon-events[limits]'."
            )
        if self.openapi_path and self.openapi_path == self.tracker_path:
            raise SettingError(f"openapi_path={self.openapi_path!r}: expected another path than tracker_path.")
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            kinds: tuple[type, ...] = {"bool": (bool,), "int": (int,), "float": (int, float), "str": (str,)}[str(field.type)]
            shown = field.name if "secret" in field.metadata else f"{field.name}={value!r}"
            if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
                raise SettingError(f"{shown}: expected a value of type {field.type} ({field.metadata['unit']}).")
            if isinstance(value, str):
                if not re.fullmatch(field.metadata["pattern"], value):
                    raise SettingError(f"{shown}: expected {field.metadata['unit']}.")
                continue
            least, most = field.metadata["least"], field.metadata["most"]
            if not least <= value <= most:  # also false for "not a number"
                raise SettingError(f"{field.name}={value!r}: expected {least} to {most} {field.metadata['unit']}.")

        try:
            parse_networks(self.trusted_proxies)
        except ValueError as error:
            right = "addresses or networks, separated by commas, such as 127.0.0.1, 10.0.0.0/8"
            raise SettingError(f"trusted_proxies={self.trusted_proxies!r}: expected {right} ({error}).") from None

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ, **overrides: Any) -> Settings:
        """Return the settings from FALCON_EVENTS_* variables; keyword arguments take precedence.

        Args:
            environment: the environment variables.
            overrides: fields of Settings by name.

        Raises:
            SettingError: an argument is unknown, or a variable or an argument has an invalid value.
        """
        fields = {field.name: str(field.type) for field in dataclasses.fields(cls)}
        if unknown := overrides.keys() - fields.keys():
            raise SettingError(f"{min(unknown)!r} is not a setting; the settings are {', '.join(fields)}.")
        _warn_of_unknown(environment, fields)
        values: dict[str, Any] = {}
        for name, kind in fields.items():
            text = environment.get(PREFIX + name.upper())
            if text is not None:
                values[name] = _parse(name, kind, text)
        return cls(**{**values, **overrides})


def _warn_of_unknown(environment: Mapping[str, str], known: Iterable[str]) -> None:
    """Log the variables whose names begin like settings but are not, each once in a process."""
    right = {PREFIX + name.upper() for name in known} | OTHER_VARIABLES
    for variable in sorted(environment):
        if variable.startswith(PREFIX) and variable not in right and variable not in _warned:
            import difflib  # rarely needed

            _warned.add(variable)
            close = difflib.get_close_matches(variable, right, 1)
            hint = f"; did you mean {close[0]}?" if close else ". docs/settings.md lists the settings."
            logger.warning("%s is not a setting, so it has no effect%s", variable, hint)


def _parse(name: str, kind: str, text: str) -> Any:
    try:
        if kind == "str":
            return text
        if kind == "bool":
            return _TRUTH[text.strip().lower()]
        return int(text) if kind == "int" else float(text)
    except (KeyError, ValueError):
        wanted = "yes or no" if kind == "bool" else "a number" if kind == "float" else "a whole number"
        raise SettingError(f"{PREFIX}{name.upper()}={text!r}: expected {wanted}.") from None


def parse_networks(text: str) -> Sequence[Network]:
    """Parse addresses or networks, separated by commas.

    Raises:
        ValueError: a part is neither an address nor a network; the message names it.
    """
    return [_unmap(ipaddress.ip_network(part.strip())) for part in text.split(",") if part.strip()]


def _unmap(network: Network) -> Network:
    """Convert a network of IPv4-mapped addresses (::ffff:10.0.0.0/104) to IPv4, because clients' addresses are, too."""
    mapped = network.network_address.ipv4_mapped if isinstance(network, ipaddress.IPv6Network) else None
    if mapped is None or network.prefixlen < IPV4_MAPPED_BITS:
        return network
    return ipaddress.IPv4Network((mapped, network.prefixlen - IPV4_MAPPED_BITS))
