"""Outages, on a real PostgreSQL: who counts a turn waits for nobody."""

import os
import subprocess
import sys

from tests.servers import ROOT

# Another transaction has counted, and has not ended.
SCRIPT = """
import threading
from django.db import connection, transaction
from common.events import outages
from common.events.models import Event
with connection.schema_editor() as editor:
    editor.create_model(Event)
outages.noticed("A store")
counted, done = threading.Event(), threading.Event()
def other():
    with transaction.atomic():
        outages.count_waiting_turn("A store")
        counted.set()
        done.wait(30)
thread = threading.Thread(target=other)
thread.start()
counted.wait(30)
outages.count_waiting_turn("A store")  # would end with its statement's time
done.set()
thread.join()
outages.count_waiting_turn("A store")
print(Event.objects.get().number)
"""


def test_count__waits_for_no_other_transaction(postgresql):
    done = subprocess.run(
        [sys.executable, "manage.py", "shell", "--no-imports", "-c", SCRIPT],
        cwd=ROOT,
        env={
            **os.environ,
            "DATABASE_URL": postgresql.url,
            "DATABASE_STATEMENT_TIMEOUT_SECONDS": "2",
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.stdout.strip(), done.stderr) == ("3", "")
