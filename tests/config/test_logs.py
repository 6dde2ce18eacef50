"""What the log says, and what it leaves to the clients."""

import logging
import subprocess
import sys

from config.logs import LineFormatter
from tests.servers import ROOT

WRONG_REQUESTS = """
import django
django.setup()
from django.test import Client
browser = Client(enforce_csrf_checks=True, headers={"Host": "localhost"})
browser.cookies["csrftoken"] = "a" * 32
login = "/admin/login/"
assert browser.get(login, headers={"Host": "elsewhere.example"}).status_code == 400
assert browser.post(login, {f"field{number}": "" for number in range(1001)}).status_code == 400
assert browser.post(login, {"username": "forged"}).status_code == 403
"""


def test_log__a_forged_line_stays_one_line():
    record = logging.LogRecord("n", logging.INFO, "f", 1, "a\nFORGED \x1b[31m ü", None, None)
    line = LineFormatter().format(record)
    assert line.count("\n") == 0
    assert line.endswith("INFO n a\\nFORGED \\x1b[31m ü")


def test_log__of_what_clients_get_wrong_it_holds_forged_forms_alone():
    done = subprocess.run(
        [sys.executable, "-c", WRONG_REQUESTS], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    (line,) = done.stderr.splitlines()
    assert "WARNING django.security.csrf Forbidden" in line
