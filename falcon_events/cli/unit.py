"""The text of a systemd unit for a server, with the service kept from all that it does not need (systemd.exec(5))."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import msgspec

STATE, CACHE = Path("/var/lib"), Path("/var/cache")
HOMES = tuple(Path(home) for home in ("/home", "/root", "/run/user"))
"""What ProtectHome= hides."""
TEMPORARY = tuple(Path(folder) for folder in ("/tmp", "/var/tmp"))
"""Of what is in these the service sees nothing (PrivateTmp=): it has folders of its own, which end with it."""
VOLATILE = (*TEMPORARY, *(Path(folder) for folder in ("/dev", "/run", "/proc", "/sys")))
"""Where no store outlives the machine."""
PRIVILEGED_PORTS = 1024
STOP_S = 90
"""Longer than a server takes at most to answer what is under way, and its store's owner then to take everything in."""
_PLAIN = re.compile(r"[A-Za-z0-9_@%+=:,./-]+")

_UNIT = """\
# {name}.service, written by falcon-events {version}. Settings: FALCON_EVENTS_... lines in /etc/{name}.env.
[Unit]
Description=Event tracking ({name})
Wants=network-online.target
After=network-online.target
# It goes on trying: a full disk or a port in use is mended without systemd's knowing.
StartLimitIntervalSec=0

[Service]
Type=exec
ExecStart={command}
EnvironmentFile=-/etc/{name}.env
{user}
StateDirectory={name}
StateDirectoryMode=0700
CacheDirectory={name}
CacheDirectoryMode=0700
WorkingDirectory=/var/lib/{name}
UMask=0077
LimitNOFILE=65536
Restart=on-failure
RestartSec=5s
# The process that holds the store's file ignores SIGTERM and ends by itself, when those that use it have gone and it has
# taken in what they sent. control-group waits for it also where the server's first process has died; mixed kills it then.
KillMode=control-group
TimeoutStopSec={stop_s}s
# One process that is killed for its memory is replaced by the others.
OOMPolicy=continue

NoNewPrivileges=yes
{capabilities}
ProtectSystem=strict
{writable}ProtectHome={home}
PrivateTmp=yes
PrivateDevices=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectProc=invisible
RemoveIPC=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged
SystemCallErrorNumber=EPERM

[Install]
WantedBy=multi-user.target
"""


class Service(msgspec.Struct, frozen=True, kw_only=True):
    """What a unit is for.

    `command` is how falcon-events is called, its first word a path; `libraries` are the folders that it needs. A service
    without a `user` gets one from systemd whenever it starts.
    """

    name: str
    version: str
    command: Sequence[str]
    libraries: Sequence[Path]
    db: Path
    host: str
    port: int
    workers: int
    user: str | None


def unit(service: Service) -> str:
    """The unit's text."""
    folder = service.db.parent
    options = {"--db": service.db, "--host": service.host, "--port": service.port, "--workers": service.workers}
    words = [*service.command, "serve", *(str(word) for option in options.items() for word in option)]
    is_literal = ":" if any("$" in word for word in words) else ""  # no word is a variable then
    needed = [Path(service.command[0]), *service.libraries, folder]
    return _UNIT.format(
        name=service.name,
        version=service.version,
        command=is_literal + " ".join(quoted(word) for word in words),
        user="DynamicUser=yes" if service.user is None else f"User={service.user}",
        stop_s=STOP_S,
        capabilities=_capabilities(service.port),
        writable="" if is_below(folder, [STATE / service.name]) else f"ReadWritePaths={quoted(str(folder))}\n",
        home="read-only" if any(is_below(path, HOMES) for path in needed) else "yes",
    )


def quoted(word: str) -> str:
    """A word as units have it (systemd.unit(5), systemd.syntax(7)): a % is no specifier, white space does not end it."""
    word = word.replace("%", "%%")
    if _PLAIN.fullmatch(word):
        return word
    return '"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"'


def is_below(path: Path, folders: Sequence[Path]) -> bool:
    """Whether a path is in one of the folders, or is one."""
    return any(path.is_relative_to(folder) for folder in folders)


def _capabilities(port: int) -> str:
    if port < PRIVILEGED_PORTS:
        return "AmbientCapabilities=CAP_NET_BIND_SERVICE\nCapabilityBoundingSet=CAP_NET_BIND_SERVICE"
    return "CapabilityBoundingSet=\nPrivateUsers=yes"
