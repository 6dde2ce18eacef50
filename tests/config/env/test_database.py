"""The database: what Django is told of it, and that nobody waits for it without end."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import psycopg
from psycopg import IsolationLevel

from config.env.database import configuration
from config.management.commands.migrate import LOCK
from tests.outages import frozen_port
from tests.servers import ROOT

SLEEP = "from django.db import connection as c; c.cursor().execute('SELECT pg_sleep(60)')"


def options_of(url: str) -> dict[str, object]:
    database = configuration(url, connect_timeout_seconds=3, statement_timeout_seconds=15)
    return dict(database["OPTIONS"])


def manage(*arguments: str, **environ: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        timeout=90,
    )


def test_configuration__options_of_the_url_win():
    url = "postgresql://u:p@h/n?connect_timeout=9&sslmode=require"
    options = options_of(url)
    assert (options["connect_timeout"], options["sslmode"]) == (9, "require")


def test_configuration__sqlite_takes_writers_one_by_one():
    assert options_of("sqlite:////tmp/x")["transaction_mode"] == "IMMEDIATE"


def test_postgresql__that_never_takes_a_connection():
    with frozen_port() as port:
        url = f"postgresql://u:p@127.0.0.1:{port}/n"
        done = manage("list_connectors", DATABASE_URL=url, DATABASE_CONNECT_TIMEOUT_SECONDS="2")
    assert done.returncode == 1
    assert "the database can't be used" in done.stderr


def test_postgresql__that_never_ends_a_statement(postgresql):
    environ = {"DATABASE_URL": postgresql.url, "DATABASE_STATEMENT_TIMEOUT_SECONDS": "1"}
    done = manage("shell", "--no-imports", "-c", SLEEP, **environ)
    assert done.returncode == 1
    assert "statement timeout" in done.stderr


ISOLATION = """
from django.db import connection, transaction
def show():
    with connection.cursor() as cursor:
        cursor.execute("SHOW transaction_isolation")
        print(*cursor.fetchone())
show()
with transaction.atomic():
    show()
"""


def test_postgresql__whose_default_isolation_is_another(postgresql):
    alter = "ALTER DATABASE postgres {} default_transaction_isolation"
    with psycopg.connect(postgresql.url, autocommit=True) as admin:
        admin.execute(f"{alter.format('SET')} = 'serializable'")
        try:
            done = manage("shell", "--no-imports", "-c", ISOLATION, DATABASE_URL=postgresql.url)
            assert done.stdout.splitlines() == ["read committed"] * 2, done.stderr
            url = f"{postgresql.url}&isolation_level={IsolationLevel.REPEATABLE_READ.value}"
            done = manage("shell", "--no-imports", "-c", ISOLATION, DATABASE_URL=url)
            assert done.stdout.splitlines() == ["repeatable read"] * 2, done.stderr
        finally:
            admin.execute(alter.format("RESET"))


def test_postgresql__not_migrated_yet(postgresql):
    done = manage("list_connectors", DATABASE_URL=postgresql.url)
    assert done.returncode == 1
    line = "statekeep: the database can't be used (does it run, is it whole and migrated"
    assert done.stderr.startswith(line)
    assert "Traceback" not in done.stderr
    traced = manage("list_connectors", "--traceback", DATABASE_URL=postgresql.url)
    assert "Traceback" in traced.stderr


def test_postgresql__two_migrations_at_once(postgresql):
    url = create_database(postgresql, "fresh")
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda _: manage("migrate", DATABASE_URL=url), range(2))
    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    assert "No migrations to apply." in first.stdout + second.stdout


def test_postgresql__a_migration_waits_for_another(postgresql):
    url = create_database(postgresql, "waiting")
    with psycopg.connect(url) as another:
        another.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])
        second = subprocess.Popen(
            [sys.executable, "manage.py", "migrate", "contenttypes"],
            cwd=ROOT,
            env={**os.environ, "DATABASE_URL": url},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert "Another migrate is at work" in second.stderr.readline()
        another.commit()
        said, _ = second.communicate(timeout=90)
    assert second.returncode == 0
    assert "Applying contenttypes.0001_initial" in said


def create_database(postgresql, name: str) -> str:
    with psycopg.connect(postgresql.url, autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name}")
    return f"postgresql://postgres@127.0.0.1:{postgresql.port}/{name}"
