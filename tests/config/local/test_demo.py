"""`make run`: the line that it prints chats."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.servers import ROOT, free_port, wait_until


def test_make_run__prints_a_line_that_chats(tmp_path: Path):
    names = ("REDIS_URL", "DATABASE_URL", "SECRET_KEY", "CONNECTOR_SECRET_KEYS", "JWT_SIGNING_KEY")
    environ = {name: value for name, value in os.environ.items() if name not in names}
    environ |= {"DATA_DIR": str(tmp_path / "var"), "PORT": str(free_port())}
    log = tmp_path / "log"
    with log.open("wb") as output:
        command = [sys.executable, "-m", "config.local.run"]
        running = subprocess.Popen(command, cwd=ROOT, env=environ, stdout=output, stderr=output)
    try:
        wait_until(
            lambda: "TOKEN=" in log.read_text() or running.poll() is not None, 60, "the line"
        )
        line = next(line for line in log.read_text().splitlines() if "TOKEN=" in line)
        answer = subprocess.run(
            ["bash", "-c", line.strip()], capture_output=True, text=True, timeout=30, check=True
        )
    finally:
        running.send_signal(signal.SIGINT)
        running.wait(30)
    assert answer.stdout.startswith("HTTP/1.1 200 OK")
    assert "I've added 'Buy groceries' to your task list" in answer.stdout
    assert "x-chat-degraded" not in answer.stdout.lower()
    assert "/chat/\n" in log.read_text()
    settings = (tmp_path / "var" / "settings.env").read_text()
    assert "JWT_SIGNING_KEY=" in settings
