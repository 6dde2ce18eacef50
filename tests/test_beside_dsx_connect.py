"""deploy/beside_dsx_connect, as its README has it, with its own router: test_nginx tests nginx'."""

import os
import subprocess
import sys

from tests.servers import ROOT


def test_run__shows_the_cursor_after_a_restart():
    command = [sys.executable, "deploy/beside_dsx_connect/run.py", "--without-nginx"]
    # Without the tests' environment, which would give it the stores of the tests.
    env = {"PATH": os.environ["PATH"]}
    found = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=300)
    assert found.returncode == 0, found.stdout + found.stderr
    lines = [line.split(" -> ") for line in found.stdout.splitlines() if " -> " in line]
    assert [status for _, status in lines] == ["201", "204", "200", "204", "200", "200"]
    assert found.stdout.endswith("the cursor is there after the restart\n")
