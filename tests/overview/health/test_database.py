"""A database that answers, and that calls can't use: `check_stores` and `/readyz` say so."""

from collections.abc import Iterator

import psycopg
import pytest
from django.db.utils import ConnectionHandler

from common.findings import Unfit
from config.env.database import configuration
from overview.health import database
from tests.config.env.test_database import manage

pytestmark = pytest.mark.django_db


@pytest.fixture(scope="module")
def migrated(postgresql) -> str:
    """The URL of a database, of a role that owns it."""
    sql(postgresql.url, "CREATE ROLE keeper LOGIN", "CREATE DATABASE kept OWNER keeper")
    url = url_of(postgresql, "keeper", "kept")
    done = manage("migrate", DATABASE_URL=url)
    assert done.returncode == 0, done.stderr
    return url


@pytest.fixture
def use(monkeypatch):
    """Call it with the URL of a database, and the probe asks that one."""
    used = []

    def use_url(url: str) -> None:
        default = configuration(url, connect_timeout_seconds=3, statement_timeout_seconds=15)
        connection = ConnectionHandler({"default": default})["default"]
        connection.inc_thread_sharing()  # the probe has a thread
        monkeypatch.setattr(database, "connection", connection)
        used.append(connection)

    yield use_url
    for connection in used:
        connection.close()


def url_of(postgresql, role: str, name: str) -> str:
    return f"postgresql://{role}@127.0.0.1:{postgresql.port}/{name}"


def sql(url: str, *statements: str) -> None:
    with psycopg.connect(url, autocommit=True) as admin:
        for statement in statements:
            admin.execute(statement)


def words(use, url: str) -> str:
    use(url)
    with pytest.raises(Unfit) as unfit:
        database.examine()
    return str(unfit.value)


def test_examine__a_good_one(use, migrated):
    use(migrated)
    found = database.examine()
    assert found.description.startswith("PostgreSQL ")
    assert found.state == "ok"


def test_examine__one_that_is_not_migrated(use, postgresql, tmp_path):
    for url in (postgresql.url, f"sqlite:///{tmp_path / 'empty'}"):
        assert words(use, url) == (
            "It is not migrated (chat_chatuser, chat_conversation, chat_endedsession and others "
            "missing): run manage.py migrate."
        )


def test_examine__migrations_of_a_later_version_do_no_harm(use, postgresql, migrated):
    sql(migrated, "ALTER TABLE chat_turn ADD later integer", "CREATE TABLE chat_later ()")
    use(migrated)
    assert database.examine().state == "ok"


def test_examine__one_that_is_read_only(use, postgresql, migrated):
    sql(postgresql.url, "ALTER DATABASE kept SET default_transaction_read_only = on")
    try:
        assert "default_transaction_read_only is on" in words(use, migrated)
    finally:
        sql(postgresql.url, "ALTER DATABASE kept RESET default_transaction_read_only")


def test_examine__a_role_that_may_only_read(use, postgresql, migrated):
    sql(postgresql.url, "CREATE ROLE reader LOGIN")
    sql(migrated, "GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader")
    url = url_of(postgresql, "reader", "kept")
    assert words(use, url).startswith("The role reader may not read and write chat_chatuser, ")
    sql(migrated, "GRANT ALL ON ALL TABLES IN SCHEMA public TO reader")
    sql(migrated, "REVOKE DELETE ON chat_turn FROM reader")
    assert words(use, url) == "The role reader may not read and write chat_turn."


@pytest.fixture
def replica(postgresql, migrated) -> Iterator[str]:
    """The URL of the database on a server that was restarted as a hot standby."""
    signal = postgresql.folder / "data/standby.signal"
    postgresql.stop()
    signal.touch()
    postgresql.start()
    yield migrated
    postgresql.stop()
    signal.unlink()
    postgresql.start()


def test_readyz__is_503_on_a_replica_except_for_state(use, replica, client, monkeypatch):
    use(replica)
    monkeypatch.setattr("connector_state.credentials.live.are_known_ones_served", lambda: True)
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json()["database"]) == (503, "can't be used")
    assert client.get("/readyz?for=state").status_code == 200
    assert "It is a replica, which takes no writes" in words(use, replica)


def test_another_encoding__is_a_danger_and_is_not_migrated(use, postgresql):
    create = "CREATE DATABASE latin TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'"
    sql(postgresql.url, create)
    url = url_of(postgresql, "postgres", "latin")
    done = manage("migrate", DATABASE_URL=url)
    assert done.returncode == 1
    assert "The database's encoding is LATIN1" in done.stderr
    assert manage("migrate", "--skip-checks", DATABASE_URL=url).returncode == 0
    use(url)
    (danger,) = database.examine().dangers
    assert danger.startswith("Its encoding is LATIN1, not UTF8")
