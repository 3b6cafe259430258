"""The text of a systemd unit for a server, without access to anything that it does not need (systemd.exec(5))."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import msgspec

STATE, CACHE = Path("/var/lib"), Path("/var/cache")
HOMES = tuple(Path(home) for home in ("/home", "/root", "/run/user"))
"""The folders that ProtectHome= hides."""
TEMPORARY = tuple(Path(folder) for folder in ("/tmp", "/var/tmp"))
"""Folders whose contents the service cannot see (PrivateTmp=): it has its own, which are deleted when it ends."""
VOLATILE = (*TEMPORARY, *(Path(folder) for folder in ("/dev", "/run", "/proc", "/sys")))
"""Folders in which a store would not survive a restart of the service or of the machine."""
PRIVILEGED_PORTS = 1024
STOP_S = 90
"""The time to stop, in seconds: more than the server needs to finish its requests, and the owner process then its writes."""
_PLAIN = re.compile(r"[A-Za-z0-9_@%+=:,./-]+")

_UNIT = """\
# {name}.service, written by falcon-events {version}. Settings: FALCON_EVENTS_... lines in /etc/{name}.env.
[Unit]
Description=Event tracking ({name})
Wants=network-online.target
After=network-online.target
# Restart forever: systemd cannot know when a full disk or a port in use is fixed.
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
# The owner process, which holds the store's file, ignores SIGTERM. It ends by itself when no process uses it any more and it
# has stored what they sent. control-group waits for it even if the server's first process has died; mixed would kill it then.
KillMode=control-group
TimeoutStopSec={stop_s}s
# The other processes replace one that is killed for its memory.
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
    """The service that a unit starts.

    `command` has the words that call falcon-events; the first one is a path. `libraries` are the folders that it needs. If
    `user` is None, systemd creates a user for each start.
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


def render_unit(service: Service) -> str:
    """Render the text of the unit."""
    folder = service.db.parent
    options = {"--db": service.db, "--host": service.host, "--port": service.port, "--workers": service.workers}
    words = [*service.command, "serve", *(str(word) for option in options.items() for word in option)]
    is_literal = ":" if any("$" in word for word in words) else ""  # systemd then expands no variables
    needed = [Path(service.command[0]), *service.libraries, folder]
    return _UNIT.format(
        name=service.name,
        version=service.version,
        command=is_literal + " ".join(quote(word) for word in words),
        user="DynamicUser=yes" if service.user is None else f"User={service.user}",
        stop_s=STOP_S,
        capabilities=_limit_capabilities(service.port),
        writable="" if is_below(folder, [STATE / service.name]) else f"ReadWritePaths={quote(str(folder))}\n",
        home="read-only" if any(is_below(path, HOMES) for path in needed) else "yes",
    )


def quote(word: str) -> str:
    """Quote a word for a unit (systemd.unit(5), systemd.syntax(7)): % and white space lose their special meaning."""
    word = word.replace("%", "%%")
    if _PLAIN.fullmatch(word):
        return word
    return '"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"'


def is_below(path: Path, folders: Sequence[Path]) -> bool:
    """Return whether a path is one of the folders, or in one of them."""
    return any(path.is_relative_to(folder) for folder in folders)


def _limit_capabilities(port: int) -> str:
    if port < PRIVILEGED_PORTS:
        return "AmbientCapabilities=CAP_NET_BIND_SERVICE\nCapabilityBoundingSet=CAP_NET_BIND_SERVICE"
    return "CapabilityBoundingSet=\nPrivateUsers=yes"
