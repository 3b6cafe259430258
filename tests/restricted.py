"""Runs a command as systemd would with a unit's restrictions, without systemd: `restricted.py UNIT STATE UID [COMMAND ...]`.

As root, in a mount namespace of its own (`unshare --mount`). STATE takes the place of the unit's folder in /var/lib.
Without a COMMAND it is the unit's own. What a unit says is read from its text; what it leaves out is not done.
"""

from __future__ import annotations

import ctypes
import os
import resource
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

PR_SET_MDWE, PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS = 65, 24, 38
MDWE_REFUSE_EXEC_GAIN = 1
PROT_WRITE, PROT_EXEC, SHM_EXEC = 2, 4, 0o100000
ALLOW, REFUSE = 0x7FFF0000, 0x00050000 | 1  # SCMP_ACT_ERRNO(EPERM)
NOT_EQUAL, EQUAL, MASKED = 1, 4, 7
NAMESPACES = 0x7E020080
FAMILIES = {"AF_UNIX": 1, "AF_INET": 2, "AF_INET6": 10}
MOST_FAMILIES = 46
Condition = tuple[int, int, int, int]


class Comparison(ctypes.Structure):
    """struct scmp_arg_cmp."""

    _fields_ = (("arg", ctypes.c_uint), ("op", ctypes.c_int), ("a", ctypes.c_uint64), ("b", ctypes.c_uint64))


libc = ctypes.CDLL(None, use_errno=True)


def directives(text: str) -> dict[str, list[str]]:
    """A unit's settings, in order."""
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        name, is_setting, value = line.partition("=")
        if is_setting and not line.startswith("#"):
            found.setdefault(name, []).append(value)
    return found


def system_calls(group: str) -> set[str]:
    """The system calls of one of systemd's groups, as systemd itself lists them."""
    told = subprocess.run(["systemd-analyze", "syscall-filter", group], capture_output=True, text=True, check=True).stdout
    names = {line.strip() for line in told.splitlines()[1:] if line.strip() and not line.strip().startswith("#")}
    inner = {name for name in names if name.startswith("@")}
    return (names - inner).union(*(system_calls(name) for name in inner))


def filtered(default: int, rules: Sequence[tuple[str, int, Sequence[Condition]]]) -> None:
    """Loads a filter; names that this architecture does not have are left out."""
    seccomp = ctypes.CDLL("libseccomp.so.2")
    seccomp.seccomp_init.restype = ctypes.c_void_p
    context = ctypes.c_void_p(seccomp.seccomp_init(ctypes.c_uint32(default)))
    for name, action, conditions in rules:
        number = seccomp.seccomp_syscall_resolve_name(name.encode())
        if number < 0:
            continue
        compared = (Comparison * max(len(conditions), 1))(*(Comparison(*condition) for condition in conditions))
        failed = seccomp.seccomp_rule_add_array(context, ctypes.c_uint32(action), number, len(conditions), compared)
        assert failed == 0, (name, failed)
    assert seccomp.seccomp_load(context) == 0


def see_folders(unit: dict[str, list[str]], state: Path, uid: int) -> None:
    """The file system read-only but for the state and the cache, and a /tmp of its own; also Python where root keeps it."""
    mount("--bind", str(state), "/mnt")  # for it may be below what is hidden in a moment
    for hidden in (Path("/root"),):
        inside = {
            Path(path) for path in (sys.prefix, sys.base_prefix, Path(__file__).parents[1]) if Path(path).is_relative_to(hidden)
        }
        needed = {path for path in inside if not inside.intersection(path.parents)}  # a folder brings those within it
        aside = Path("/run/aside")
        mount("-t", "tmpfs", "none", "/run")
        for path in needed:
            (aside / path.name).mkdir(parents=True)
            mount("--rbind", str(path), str(aside / path.name))
        mount("-t", "tmpfs", "-o", "mode=755", "none", str(hidden))
        for path in needed:
            path.mkdir(parents=True)
            mount("--rbind", str(aside / path.name), str(path))
    for folder in ("/tmp", "/var/lib", "/var/cache"):
        mount("-t", "tmpfs", "-o", "mode=755" if folder != "/tmp" else "mode=1777", "none", folder)
    (name,) = unit["StateDirectory"]
    own_state = Path("/var/lib", name)
    own_state.mkdir()
    mount("--move", "/mnt", str(own_state))
    cache = Path("/var/cache", unit["CacheDirectory"][0])
    cache.mkdir(mode=0o700)
    writable = [str(own_state), str(cache)]
    for path in writable:
        os.chown(path, uid, uid)
        Path(path).chmod(int(unit["StateDirectoryMode"][0], 8))
    if unit["ProtectSystem"] == ["strict"]:
        mount("--bind", str(cache), str(cache))
        kept = ("/tmp", "/dev", "/proc", "/sys", *writable)
        for line in Path("/proc/self/mountinfo").read_text().splitlines():
            at = line.split()[4].encode().decode("unicode_escape")
            if not any(at == path or at.startswith(path + "/") for path in kept):
                subprocess.run(["mount", "-o", "remount,bind,ro", at], check=at == "/", capture_output=True)


def mount(*arguments: str) -> None:
    """Mounts."""
    subprocess.run(["mount", *arguments], check=True)


def restrict(unit: dict[str, list[str]], uid: int) -> None:
    """The user, and what a process of it may ask of the kernel."""
    allowed: set[str] = set()
    for value in unit["SystemCallFilter"]:
        for group in value.removeprefix("~").split():
            allowed = allowed - system_calls(group) if value.startswith("~") else allowed | system_calls(group)
    os.umask(int(unit["UMask"][0], 8))
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)  # which root may not raise everywhere
    limit = int(unit["LimitNOFILE"][0])
    limit = limit if most == resource.RLIM_INFINITY else min(limit, most)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    if unit["CapabilityBoundingSet"] == [""]:
        for capability in range(64):
            libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)
    os.setgroups([])
    os.setgid(uid)
    os.setuid(uid)
    assert unit["NoNewPrivileges"] == ["yes"]
    assert libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
    rules: list[tuple[str, int, Sequence[Condition]]] = []
    if unit["MemoryDenyWriteExecute"] == ["yes"]:
        both = PROT_WRITE | PROT_EXEC
        rules.append(("mmap", REFUSE, [(2, MASKED, both, both)]))
        rules += [(name, REFUSE, [(2, MASKED, PROT_EXEC, PROT_EXEC)]) for name in ("mprotect", "pkey_mprotect")]
        rules.append(("shmat", REFUSE, [(2, MASKED, SHM_EXEC, SHM_EXEC)]))
    known = {FAMILIES[name] for name in unit["RestrictAddressFamilies"][0].split()}
    rules += [("socket", REFUSE, [(0, EQUAL, family, 0)]) for family in range(MOST_FAMILIES) if family not in known]
    if unit["RestrictNamespaces"] == ["yes"]:
        rules += [("clone", REFUSE, [(0, MASKED, 1 << bit, 1 << bit)]) for bit in range(32) if NAMESPACES >> bit & 1]
        rules.append(("unshare", REFUSE, []))
    filtered(ALLOW, rules)
    filtered(REFUSE, [(name, ALLOW, []) for name in sorted(allowed)])


def main() -> None:
    """Becomes the command."""
    text, state, uid, *command = sys.argv[1:]
    unit = directives(Path(text).read_text())
    command = command or shlex.split(unit["ExecStart"][0])
    see_folders(unit, Path(state), int(uid))
    os.chdir(unit["WorkingDirectory"][0])
    environment = {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "STATE_DIRECTORY": f"/var/lib/{unit['StateDirectory'][0]}",
        "CACHE_DIRECTORY": f"/var/cache/{unit['CacheDirectory'][0]}",
    }
    settings = {name: value for name, value in os.environ.items() if name.startswith("FALCON_EVENTS_")}
    restrict(unit, int(uid))
    os.execve(command[0], command, environment | settings)


if __name__ == "__main__":
    main()
