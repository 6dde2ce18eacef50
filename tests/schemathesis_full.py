"""Run schemathesis on docs/openapi.yaml and a live server: `python -m tests.schemathesis_full`.

Arguments are those of `st run`, such as `--max-examples 1000`. The server is granian with the
door, with stores of its own; tests.schemathesis_hooks signs the calls.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import jwt

from tests import servers
from tests.environment import ENVIRONMENT
from tests.openapi import DOCUMENT

CONNECTOR, USER_TOKEN = "SCHEMATHESIS_CONNECTOR", "SCHEMATHESIS_USER_TOKEN"
USER, ENROLMENT_TOKEN = "alice", "enrol-me"
CONFIG = servers.ROOT / "tests/schemathesis.toml"
FULL = ("--max-examples", "300", "--phases", "examples,coverage,fuzzing,stateful")
TOKEN_SECONDS = 24 * 3600


def run(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Serve from `folder`, and run schemathesis with these arguments.

    Returns:
        Its exit code, 0 if all checks passed, and what it wrote.
    """
    valkey = servers.start_valkey(folder / "valkey", "--port", "0", "--unixsocket", f"{folder}/s")
    environ = {
        **ENVIRONMENT,
        "DATA_DIR": str(folder),
        "REDIS_URL": f"unix://{folder}/s",
        "DATABASE_URL": f"sqlite:///{folder / 'db.sqlite3'}",
        "ENROLLMENT_NEW_PER_MINUTE": "100000",
        "ENROLLMENT_MAX_CONNECTORS": "1000000",
    }
    try:
        servers.manage(environ, "migrate", "-v", "0")
        created = json.loads(servers.manage(environ, "create_connector", "tests", "--json"))
        server = servers.granian(environ, folder / "log", workers=1, threads=8)
        try:
            return _call(folder, server.url, list(created.values())[:3], *arguments)
        finally:
            server.stop()
    finally:
        valkey.terminate()
        valkey.wait(10)


def _call(
    folder: Path, url: str, connector: list[str], *arguments: str
) -> "subprocess.CompletedProcess[str]":
    claims = {"sub": USER, "exp": int(time.time()) + TOKEN_SECONDS}
    identity = {
        CONNECTOR: json.dumps(connector),
        USER_TOKEN: jwt.encode(claims, ENVIRONMENT["JWT_SIGNING_KEY"], "HS256"),
    }
    command = [str(Path(sys.executable).with_name("st")), "--config-file", str(CONFIG)]
    command += ["run", str(DOCUMENT), "--url", url, *arguments]
    return subprocess.run(
        command,
        cwd=folder,  # where it leaves what it remembers
        env={**os.environ, **identity, "PYTHONPATH": str(servers.ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def main() -> int:
    """Run all of it, and print what was found."""
    with tempfile.TemporaryDirectory(prefix="statekeep-api-") as folder:
        found = run(Path(folder), *FULL, *sys.argv[1:])
    print(found.stdout)
    return found.returncode


if __name__ == "__main__":
    sys.exit(main())
