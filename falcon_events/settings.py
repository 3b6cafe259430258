"""The settings, each with its unit, default and reason; from keyword arguments or the environment."""

from __future__ import annotations

import dataclasses
import importlib.util
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from falcon_events.errors import SettingError

PREFIX = "FALCON_EVENTS_"
_TRUTH = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}


_MOST = 2**40
"""Beyond any use, and small enough for everything that a setting is handed to."""


def _setting(default: Any, unit: str, reason: str, least: int = 0, most: int = _MOST) -> Any:
    return dataclasses.field(default=default, metadata={"unit": unit, "reason": reason, "least": least, "most": most})


def _text(default: str, unit: str, reason: str, pattern: str) -> Any:
    return dataclasses.field(default=default, metadata={"unit": unit, "reason": reason, "pattern": pattern})


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
    tracker_path: str = _text(
        "/tracker.js",
        "a path below the mount's prefix, or nothing",
        "where the script for web pages is served: a path of your own stands on no blocker's list; nothing for nowhere",
        r"(?:(?!/(?:api/v1/.*|healthz|readyz|metrics|tracker)$)(?:/[A-Za-z0-9._~-]+)+)?",
    )
    log_requests: bool = _setting(False, "yes or no", "whether each request is logged in one line, without its contents")

    def __post_init__(self) -> None:
        if (self.rate_limit_per_key or self.rate_limit_per_address) and importlib.util.find_spec("limits") is None:
            raise SettingError("rate_limit_per_key and rate_limit_per_address need: pip install 'falcon-events[limits]'.")
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
