"""Build dist/falcon-events, a single self-contained file for Linux on x86-64; needs only Python's standard library."""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import shutil
import struct
import subprocess
import sys
import tarfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGING = ROOT / "packaging"
LOCKED = PACKAGING / "requirements.txt"
BUILD = ROOT / "build" / "binary"
OUT = ROOT / "dist" / "falcon-events"
STAMP = OUT.with_name("falcon-events.sources")
SOURCES = ("falcon_events", "jsonschemas", "packaging", "pyproject.toml", "README.md", "LICENSE")
EPOCH = "1735689600"
"""2025-01-01, the time of all files in the archive, so that the same sources give the same bytes at any time."""
LEVEL = 12
MAGIC = b"falcon-events-1"
TRAILER = "<16s64sQQQQ"

PYTHON = BUILD / "venv" / "bin" / "python"
ENVIRONMENT = {name: os.environ[name] for name in os.environ if not name.startswith(("PYTHON", "COVERAGE_"))} | {
    "SOURCE_DATE_EPOCH": EPOCH,
    "PYTHONHASHSEED": "0",
    "PYINSTALLER_CONFIG_DIR": str(BUILD / "pyinstaller"),
    "ZIG_GLOBAL_CACHE_DIR": str(BUILD / "zig"),
    "ZIG_LOCAL_CACHE_DIR": str(BUILD / "zig"),
    "LC_ALL": "C.UTF-8",
}


def run(*command: str | Path, folder: Path = ROOT) -> None:
    """Run a command; if it fails, exit with its output."""
    done = subprocess.run(command, cwd=folder, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        sys.exit(f"{done.stdout}\nbuild.py: this command exited with {done.returncode}: {' '.join(map(str, command))}")


def hash_of(*paths: Path) -> str:
    """Return a hash of the names and contents of files, and of the Python that runs the build."""
    found = hashlib.sha256(f"{sys.version} {platform.libc_ver()}".encode())
    files = [file for path in paths for file in ([path] if path.is_file() else path.rglob("*"))]
    for file in sorted(files):
        if file.is_file() and "__pycache__" not in file.parts:
            found.update(f"\0{file.relative_to(ROOT)}\0".encode() + hashlib.sha256(file.read_bytes()).digest())
    return found.hexdigest()


def make_environment() -> None:
    """Create a virtual environment from requirements.txt and get Zstandard's C source, unless that file has not changed."""
    made, wanted = BUILD / "venv" / "made", hash_of(LOCKED)
    if made.exists() and made.read_text() == wanted:
        return
    shutil.rmtree(BUILD / "venv", ignore_errors=True)
    run(sys.executable, "-m", "venv", BUILD / "venv")
    pip = (PYTHON, "-m", "pip", "--disable-pip-version-check")
    run(*pip, "install", "-q", "--no-deps", "--only-binary", ":all:", "--require-hashes", "-r", LOCKED)
    pinned = [block for block in LOCKED.read_text().replace("\\\n", " ").splitlines() if block.startswith("zstandard==")]
    only = BUILD / "zstandard.txt"
    only.write_text("\n".join(pinned))
    source = BUILD / "venv" / "zstandard"
    run(
        *(*pip, "download", "-q", "--no-deps", "--no-binary", ":all:", "--no-build-isolation", "--require-hashes"),
        *("-r", only, "-d", source),
    )
    (archive,) = source.glob("zstandard-*.tar.gz")
    with tarfile.open(archive) as members:
        for member in members.getmembers():
            if member.isfile() and "/zstd/" in member.name and member.name.endswith((".c", ".h")):
                (source / Path(member.name).name).write_bytes(members.extractfile(member).read())  # type: ignore[union-attr]
    made.write_text(wanted)


def make_program() -> Path:
    """Build the program's folder: install the package as a wheel, as users get it, and let PyInstaller collect the rest."""
    for name in ("wheel", "work", "program"):
        shutil.rmtree(BUILD / name, ignore_errors=True)
    run(PYTHON, "-m", "hatchling", "build", "-t", "wheel", "-d", BUILD / "wheel")
    (wheel,) = (BUILD / "wheel").glob("*.whl")
    run(
        PYTHON, "-m", "pip", "--disable-pip-version-check", "install", "-q", "--no-deps", "--no-index", "--force-reinstall", wheel
    )
    options = ("--noconfirm", "--log-level", "WARN", "--distpath", BUILD / "program", "--workpath", BUILD / "work")
    run(PYTHON, "-m", "PyInstaller", *options, PACKAGING / "falcon-events.spec", folder=BUILD)
    return BUILD / "program" / "falcon-events"


def make_launcher() -> Path:
    """Build the launcher, linked without any library of the system."""
    launcher, zstd = BUILD / "launcher", BUILD / "venv" / "zstandard"
    target = ("-target", "x86_64-linux-musl", "-static")
    unused = ("DFAST", "GREEDY", "LAZY", "LAZY2", "BTLAZY2", "BTOPT", "BTULTRA")  # ways to compress: they need not be compiled
    small = (
        *("-Os", "-ffunction-sections", "-fdata-sections", "-DZSTD_DISABLE_ASM=1", "-DNDEBUG"),
        *(f"-DZSTD_EXCLUDE_{name}_BLOCK_COMPRESSOR" for name in unused),
    )
    linked = ("-s", "-Wl,--gc-sections", "-Wl,--build-id=none")
    for source, warnings in ((PACKAGING / "launcher.c", ("-Wall", "-Wextra", "-Werror")), (zstd / "zstd.c", ("-w",))):
        run(
            *(PYTHON, "-m", "ziglang", "cc", *target, *small, *warnings, "-c", "-I", zstd),
            *("-o", BUILD / f"{source.stem}.o", source.name),
            folder=source.parent,
        )
    run(PYTHON, "-m", "ziglang", "cc", *target, *linked, "-o", launcher, "launcher.o", "zstd.o", folder=BUILD)
    return launcher


def pack(program: Path, archive: Path) -> tuple[int, int]:
    """Write a tar archive that does not depend on the time and place of the build; return its number of files and their bytes."""
    files = size = 0
    with tarfile.open(archive, "w", format=tarfile.USTAR_FORMAT) as tar:
        for path in sorted(program.rglob("*")):
            member = tar.gettarinfo(path, str(path.relative_to(program)))
            member.mtime, member.uid, member.gid, member.uname, member.gname = int(EPOCH), 0, 0, "", ""
            member.mode = 0o700 if member.isdir() or os.access(path, os.X_OK) else 0o600
            if member.islnk() or not (member.isfile() or member.isdir() or member.issym()):
                sys.exit(f"build.py: {path} is not a file, folder or symbolic link")
            if not member.isdir():
                files += 1
                size += path.lstat().st_size
            with path.open("rb") if member.isfile() else open(os.devnull, "rb") as content:  # noqa: PTH123
                tar.addfile(member, content)
    return files, size


COMPRESS = """
import sys, zstandard
parameters = zstandard.ZstdCompressionParameters.from_level(int(sys.argv[3]), write_checksum=True, window_log=24)
with open(sys.argv[1], "rb") as source, open(sys.argv[2], "wb") as target:
    zstandard.ZstdCompressor(compression_params=parameters).copy_stream(source, target)
"""


def hash_sources() -> str:
    """Return the hash of all that the file is made of."""
    return hash_of(*(ROOT / name for name in SOURCES))


def is_up_to_date(sources: str) -> bool:
    """Return whether the file exists and is made of sources with this hash."""
    return OUT.exists() and STAMP.exists() and STAMP.read_text().strip() == sources


def build() -> None:
    """Build the file, unless it is up to date."""
    sources = hash_sources()
    if is_up_to_date(sources):
        print(f"{OUT.relative_to(ROOT)} is up to date")
        return
    began = time.monotonic()
    make_environment()
    program = make_program()
    launcher = make_launcher()
    archive, compressed = BUILD / "program.tar", BUILD / "program.tar.zst"
    files, size = pack(program, archive)
    run(PYTHON, "-c", COMPRESS, archive, compressed, str(LEVEL))
    content = compressed.read_bytes()
    version = next((BUILD / "wheel").glob("*.whl")).name.split("-")[1]
    name = f"falcon-events-{version}-{hashlib.sha256(content).hexdigest()[:32]}"
    start = launcher.read_bytes()
    start += bytes(-len(start) % 4096)
    trailer = struct.pack(TRAILER, MAGIC, name.encode(), len(start), len(content), files, size)
    OUT.parent.mkdir(exist_ok=True)
    fresh = OUT.with_name(f"{OUT.name}.new")
    fresh.write_bytes(start + content + trailer)
    fresh.chmod(0o755)
    fresh.replace(OUT)  # a running executable is replaced, not overwritten
    STAMP.write_text(sources + "\n")
    archive.unlink()
    print(
        f"{OUT.relative_to(ROOT)}: {OUT.stat().st_size / 1e6:.1f} MB, unpacked {size / 1e6:.0f} MB in {files} files,"
        f" in {time.monotonic() - began:.0f} s\nsha256 {hashlib.sha256(OUT.read_bytes()).hexdigest()}"
    )


def main() -> None:
    """Build; several builds wait for each other. With --check, only exit with 0 if the file is up to date, and else with 1."""
    if sys.argv[1:] == ["--check"]:
        sys.exit(
            0 if is_up_to_date(hash_sources()) else f"{OUT.relative_to(ROOT)} is missing or older than its sources: make binary"
        )
    if sys.platform != "linux" or platform.machine() != "x86_64":
        sys.exit(f"build.py: the executable can be built only on Linux on x86-64, not on {sys.platform}, {platform.machine()}")
    BUILD.mkdir(parents=True, exist_ok=True)
    with (BUILD / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        build()


if __name__ == "__main__":
    main()
