"""The settings, each with its unit, default and reason; from keyword arguments or the environment."""

from __future__ import annotations

import dataclasses
import importlib.util
import ipaddress
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from falcon_events.errors import SettingError

PREFIX = "FALCON_EVENTS_"
_TRUTH = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
MAPPED_BITS = 96
"""What stands before an IPv4 address in its IPv6 form (RFC 4291, 2.5.5.2)."""

_MOST = 2**40
"""Beyond any use, and small enough for everything that a setting is handed to."""


def _setting(default: Any, unit: str, reason: str, least: int = 0, most: int = _MOST) -> Any:
    return dataclasses.field(default=default, metadata={"unit": unit, "reason": reason, "least": least, "most": most})


def _text(default: str, unit: str, reason: str, pattern: str) -> Any:
    return dataclasses.field(default=default, metadata={"unit": unit, "reason": reason, "pattern": pattern})


def _path_but(taken: str) -> str:
    """The pattern of a path that is not one of these, nor an endpoint's; or of none."""
    return rf"(?:(?!/(?:api/v1/.*|healthz|readyz|metrics|tracker|docs|docs/.*|{taken})$)(?:/[A-Za-z0-9._~-]+)+)?"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How a tracker behaves. Every field can also be set as FALCON_EVENTS_<NAME> in the environment.

    Raises:
        SettingError: a value has the wrong type or is below the least one that works.
    """

    max_body_bytes: int = _setting(
        1 << 20, "bytes", "the largest request body; a larger one is answered with 413 and not read to its end", 1
    )
    anonymous_events: bool = _setting(
        False, "yes or no", "whether an event other than identify may come without an email address and without a UUID"
    )
    event_id_window_s: int = _setting(
        48 * 3600, "seconds", "how long a sender's EventID is remembered, so that a repeat is stored once", 1
    )
    queue_events: int = _setting(10_000, "events", "how many events may wait for a commit; past it the answer is 503 at once", 1)
    queue_bytes: int = _setting(
        64 << 20,
        "bytes",
        "how many bytes of request bodies may wait for a commit, so that large events cannot fill the memory",
        1,
    )
    batch_events: int = _setting(1_000, "events", "the most events that one commit takes", 1)
    fold_events: int = _setting(
        5_000,
        "events",
        "how many events the catalogue may lag behind: a property query reads about as many, a fold takes 3 ms per 1,000",
        1,
    )
    binding_cache: int = _setting(
        100_000, "bindings", "how many known bindings of visitor and email address are kept in memory, about 300 bytes each", 1
    )
    memory_limit_mb: int = _setting(
        384, "megabytes", "how much memory the database may take from its host; larger queries spill to disk and finish", 64
    )
    threads: int = _setting(2, "threads", "how many of its host's cores the database may use at once", 1, 256)
    checkpoint_wal_mb: int = _setting(
        256,
        "megabytes",
        "the log's size at which the database itself takes it in; usually that is done earlier, so that opening stays short",
        1,
        1 << 24,
    )
    commit_wait_s: float = _setting(
        10.0,
        "seconds",
        "how long a request waits for its commit, and while the file is opened; past it the answer is 503",
        0.1,  # type: ignore[arg-type]
        86_400,
    )
    lock_wait_s: float = _setting(
        2.0,
        "seconds",
        "how long opening waits for another program to let go of the file, such as a DuckDB shell",
        0,
        86_400,
    )
    rate_limit_per_key: int = _setting(
        0, "requests a minute", "how many requests one key or session may make, in all processes together; 0 for any number"
    )
    rate_limit_per_address: int = _setting(
        0, "requests a minute", "how many requests one address may make, in all processes together; 0 for any number"
    )
    client_address: str = _text(
        "none",
        "none, truncated, hashed or full",
        "what is stored of a client's address: nothing, its network (/24, /48), a hash whose salt changes daily, or all of it",
        "none|truncated|hashed|full",
    )
    trusted_proxies: str = _text(
        "",
        "addresses or networks, separated by commas, or nothing",
        "which proxies say truly in X-Forwarded-For whom they ask for: that is the client's address then; nothing for none",
        r"[0-9A-Fa-f:./, ]*",
    )
    tracker_path: str = _text(
        "/tracker.js",
        "a path below the mount's prefix, or nothing",
        "where the script for web pages is served: a path of your own stands on no blocker's list; nothing for nowhere",
        _path_but(r"openapi\.json"),
    )
    openapi_path: str = _text(
        "",
        "a path below the mount's prefix, or nothing",
        "where a mounted tracker serves the API's OpenAPI document; nothing for nowhere, since many an application has an "
        "/openapi.json of its own. The standalone server always has /openapi.json, and /docs for people",
        _path_but(r"tracker\.js"),
    )
    delivery_backoff_s: float = _setting(
        5.0,
        "seconds",
        "the wait before an event that a webhook's receiver has refused is posted again; the next ones grow with it, to a day",
        0.0001,  # type: ignore[arg-type]
        3600,
    )
    delivery_timeout_s: float = _setting(
        15.0,
        "seconds",
        "how long the receiver of a webhook may take for one event",
        0.1,  # type: ignore[arg-type]
        300,
    )
    plan_folder: str = _text(
        "",
        "the path of a folder, or nothing",
        "the tracking plan that events are held to: a JSON Schema for each event's properties; nothing for no plan",
        r"[^\0]*",
    )
    plan_violations: str = _text(
        "reject",
        "reject or report",
        "what becomes of an event that does not keep to the plan: it is refused with code 17, or stored and counted",
        "reject|report",
    )
    plan_unknown: str = _text(
        "allow", "allow, reject or report", "what becomes of an event that the plan does not have", "allow|reject|report"
    )
    log_requests: bool = _setting(False, "yes or no", "whether each request is logged in one line, without its contents")

    def __post_init__(self) -> None:
        if (self.rate_limit_per_key or self.rate_limit_per_address) and importlib.util.find_spec("limits") is None:
            raise SettingError("rate_limit_per_key and rate_limit_per_address need: pip install 'falcon-events[limits]'.")
        if self.openapi_path and self.openapi_path == self.tracker_path:
            raise SettingError(f"openapi_path={self.openapi_path!r}: another path than that of tracker_path needed.")
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            kinds: tuple[type, ...] = {"bool": (bool,), "int": (int,), "float": (int, float), "str": (str,)}[str(field.type)]
            if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
                raise SettingError(f"{field.name}={value!r}: {field.type} needed ({field.metadata['unit']}).")
            if isinstance(value, str):
                if not re.fullmatch(field.metadata["pattern"], value):
                    raise SettingError(f"{field.name}={value!r}: {field.metadata['unit']} needed.")
                continue
            least, most = field.metadata["least"], field.metadata["most"]
            if not least <= value <= most:  # also false for "not a number"
                raise SettingError(f"{field.name}={value!r}: from {least} to {most} {field.metadata['unit']} needed.")

        try:
            networks_of(self.trusted_proxies)
        except ValueError as error:
            unit = "addresses or networks, such as 127.0.0.1 or 10.0.0.0/8, separated by commas,"
            raise SettingError(f"trusted_proxies={self.trusted_proxies!r}: {unit} needed ({error}).") from None

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ, **overrides: Any) -> Settings:
        """The settings of FALCON_EVENTS_* variables, with keyword arguments before them.

        Raises:
            SettingError: a variable or an argument is unknown or has a value that it cannot have.
        """
        fields = {field.name: str(field.type) for field in dataclasses.fields(cls)}
        if unknown := overrides.keys() - fields.keys():
            raise SettingError(f"unknown setting {min(unknown)!r}; the settings are {', '.join(fields)}.")
        values: dict[str, Any] = {}
        for name, kind in fields.items():
            text = environment.get(PREFIX + name.upper())
            if text is not None:
                values[name] = _read(name, kind, text)
        return cls(**{**values, **overrides})


def _read(name: str, kind: str, text: str) -> Any:
    try:
        if kind == "str":
            return text
        if kind == "bool":
            return _TRUTH[text.strip().lower()]
        return int(text) if kind == "int" else float(text)
    except (KeyError, ValueError):
        wanted = "yes or no" if kind == "bool" else "a number" if kind == "float" else "a whole number"
        raise SettingError(f"{PREFIX}{name.upper()}={text!r}: {wanted} needed.") from None


def networks_of(text: str) -> Sequence[Network]:
    """The networks of a setting: addresses or networks, separated by commas.

    Raises:
        ValueError: one of them is neither; the message names it.
    """
    return [_as_ipv4(ipaddress.ip_network(part.strip())) for part in text.split(",") if part.strip()]


def _as_ipv4(network: Network) -> Network:
    """The network, or the one of IPv4 that it stands for (::ffff:10.0.0.0/104): addresses are compared as such, too."""
    mapped = network.network_address.ipv4_mapped if isinstance(network, ipaddress.IPv6Network) else None
    if mapped is None or network.prefixlen < MAPPED_BITS:
        return network
    return ipaddress.IPv4Network((mapped, network.prefixlen - MAPPED_BITS))
