"""How far a command is: a bar on a terminal, lines elsewhere."""

import os
import pty
import subprocess
import sys
from io import StringIO

import pytest
from django.core.management.base import OutputWrapper

from common.progress import Progress

HOSTILE = "[red]a[/] \\[b] :smile:"

SCRIPT = f"""
import sys, time
from django.core.management.base import OutputWrapper
from common import progress
progress.SECONDS_BETWEEN_UPDATES = 0
out, err = OutputWrapper(sys.stdout), OutputWrapper(sys.stderr)
with progress.Progress(err, TOTAL, output=OUTPUT) as bar:
    bar.update(1, {HOSTILE!r})
    time.sleep(0.3)  # it is drawn ten times a second
    bar.write(out, {HOSTILE!r})
    sys.stdout.flush()
    sys.stdout.buffer.write(b"raw\\xff")
    sys.stdout.buffer.flush()
out.write("done")
"""


def in_terminal(total: str, output: str = "None", *, stdout_too: bool = False) -> tuple[str, bytes]:
    """Run the script; return what its terminal was sent, and what its standard output was."""
    ours, terminal = pty.openpty()
    code = SCRIPT.replace("TOTAL", total).replace("OUTPUT", output)
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=terminal if stdout_too else subprocess.PIPE,
        stderr=terminal,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "100"},
    )
    os.close(terminal)
    sent = b""
    try:
        while chunk := os.read(ours, 65_536):
            sent += chunk
    except OSError:  # Linux says so that the other end is closed
        pass
    os.close(ours)
    written, _ = process.communicate(timeout=30)
    assert process.returncode == 0, sent
    return sent.decode(errors="replace"), written or b""


@pytest.mark.parametrize(("total", "sign"), [("4", " 25%"), ("None", " 0:00:0")])
def test_progress__on_a_terminal_is_a_bar_and_leaves_the_output_alone(total, sign):
    sent, written = in_terminal(total)
    assert (sign in sent and "━" in sent) or total == "None"
    assert HOSTILE in sent
    assert written == f"{HOSTILE}\n".encode() + b"raw\xffdone\n"


def test_progress__output_on_the_same_terminal_goes_above_the_bar():
    sent, _ = in_terminal("4", stdout_too=True)
    assert sent.count(HOSTILE) > 1
    assert f"{HOSTILE}\r\n" in sent
    assert "raw" in sent and "done" in sent


def test_progress__draws_no_bar_into_a_result_on_the_terminal():
    sent, _ = in_terminal("4", "sys.stdout", stdout_too=True)
    assert sent == f"{HOSTILE}\r\nraw\ufffddone\r\n"


def test_progress__elsewhere_is_a_line_for_so_many_updates_but_the_last():
    lines, out = StringIO(), StringIO()
    with Progress(OutputWrapper(lines), every=2) as progress:
        for number in range(1, 8):
            progress.update(number, f"{number} keys")
        progress.write(OutputWrapper(out), HOSTILE)
    assert lines.getvalue() == "2 keys so far\n4 keys so far\n"
    assert out.getvalue() == f"{HOSTILE}\n"


def test_progress__elsewhere_leaves_short_work_unsaid():
    lines = StringIO()
    with Progress(OutputWrapper(lines)) as progress:
        progress.update(1, "1 key")
    assert lines.getvalue() == ""
