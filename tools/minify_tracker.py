"""Minify tracker.js into falcon_events/assets/tracker.min.js with a pinned esbuild: `python tools/minify_tracker.py`.

With --check nothing is written; the exit code says whether the file is up to date.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import platform
import subprocess
import sys
import tarfile
import tempfile
import urllib.request
from pathlib import Path

from falcon_events._version import __version__

ESBUILD = "0.28.2"
SHA512 = {
    "linux-x64": "4xTZr1FUmSoQW4XIWmit3tzQrUTZM+N3P0XV8xROKYF50XfI7xeO90+1bZvNwxIufQ9hDQVRJH5YhgPVF8A/HQ==",
    "linux-arm64": "pW4AC0P3it8c7do9MVM4p51FzHzdM/TZrerurgRcHJ2WTa1VQ1CIq18xncfpBJw4ojkiZZrKW2yIBWBP92j6Ug==",
    "darwin-x64": "uq6suIWYP37qzGddBKPw5QEQPi6HiLGsO7UmkpfyaYNQ3D+rN6w6WfwH+nuqcGXWvawGwxOEroO4YGnFh95azw==",
    "darwin-arm64": "n4KqkOQrraxHJcgjM1RvwbigfQKIKJVpM7xp+KsxiyUSrRdIXnt73VhrPAx0fV44hgfmIVKjxMN9J1t5jySVkw==",
}
FOLDER = Path(__file__).parents[1] / "falcon_events" / "assets"
SOURCE, SMALL = FOLDER / "tracker.js", FOLDER / "tracker.min.js"


def fetch_esbuild(folder: Path) -> Path:
    """Download the esbuild program for this machine from the npm registry. It does not need Node."""
    machine = {"x86_64": "x64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    name = f"{platform.system().lower()}-{machine}"
    url = f"https://registry.npmjs.org/@esbuild/{name}/-/{name}-{ESBUILD}.tgz"
    with urllib.request.urlopen(url) as reply:
        packed = reply.read()
    if base64.b64encode(hashlib.sha512(packed).digest()).decode() != SHA512[name]:
        raise SystemExit(f"{url} has another SHA-512 than the one pinned in {Path(__file__).name}.")
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        program = archive.extractfile("package/bin/esbuild")
        assert program is not None
        path = folder / "esbuild"
        path.write_bytes(program.read())
    path.chmod(0o755)
    return path


def minify() -> bytes:
    """Return the minified source."""
    with tempfile.TemporaryDirectory() as folder:
        command = [str(fetch_esbuild(Path(folder))), "--minify", "--target=es2019", f"--define:VERSION={json.dumps(__version__)}"]
        return subprocess.run(command, input=SOURCE.read_bytes(), capture_output=True, check=True).stdout


if __name__ == "__main__":
    if sys.argv[1:] == ["--check"]:
        sys.exit(0 if SMALL.read_bytes() == minify() else f"{SMALL} does not match {SOURCE.name}. Run {sys.argv[0]}.")
    SMALL.write_bytes(minify())
