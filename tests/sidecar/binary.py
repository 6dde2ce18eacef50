"""Where the tests' daprd comes from: STATEKEEP_DAPRD, the PATH, or a build of the Go program here.

A build takes some minutes the first time (Go fetches and compiles Dapr), and is kept in
.cache/daprd under a hash of its sources. `python -m tests.sidecar.binary` does it and prints where.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

SOURCES = Path(__file__).resolve().parent
CACHE = SOURCES.parent.parent / ".cache" / "daprd"
BUILD_SECONDS = 1200
GO_INSTALLER_FOLDER = "/usr/local/go/bin"  # where go.dev's archive goes; often not on the PATH


class NoSidecar(Exception):
    """There is no daprd here; the text says why."""


def daprd() -> Path:
    """Return the daprd to use, building it if need be.

    Raises:
        NoSidecar: there is none, and none can be built.
    """
    if named := os.environ.get("STATEKEEP_DAPRD"):
        if not os.access(named, os.X_OK):
            raise NoSidecar(f"STATEKEEP_DAPRD={named} is no program")
        return Path(named).resolve()
    if on_path := shutil.which("daprd"):
        return Path(on_path)
    return _built()


def _built() -> Path:
    go = shutil.which("go") or shutil.which("go", path=GO_INSTALLER_FOLDER)
    if go is None:
        raise NoSidecar("no daprd in STATEKEEP_DAPRD or on the PATH, and no Go to build one")
    CACHE.mkdir(parents=True, exist_ok=True)
    binary = CACHE / f"daprd-{_sources_digest()}"
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # several test processes want it at once
        if not binary.exists():
            _build(go, binary)
    return binary


def _sources_digest() -> str:
    digest = hashlib.sha256()
    for name in ("main.go", "go.mod", "go.sum"):
        digest.update((SOURCES / name).read_bytes())
    return digest.hexdigest()[:16]


def _build(go: str, binary: Path) -> None:
    print("Building a Dapr sidecar; this takes some minutes, once", file=sys.stderr, flush=True)
    unfinished = binary.with_suffix(".part")
    command = [go, "build", "-trimpath", "-ldflags", "-s -w", "-o", str(unfinished), "."]
    try:
        result = subprocess.run(
            command,
            cwd=SOURCES,
            env={**os.environ, "CGO_ENABLED": "0"},
            capture_output=True,
            text=True,
            timeout=BUILD_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise NoSidecar(f"Go did not build daprd within {BUILD_SECONDS} s") from None
    if result.returncode != 0:
        raise NoSidecar(f"Go can't build daprd: {result.stderr.strip()[-500:]}")
    unfinished.rename(binary)


if __name__ == "__main__":
    try:
        print(daprd())
    except NoSidecar as reason:
        sys.exit(f"No sidecar, so the tests that need one are skipped: {reason}")
