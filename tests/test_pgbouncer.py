"""The product on PostgreSQL behind a real pgbouncer with transaction pooling."""

import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest
from cryptography.fernet import Fernet

from tests.chat.calls import User
from tests.environment import ENVIRONMENT
from tests.poolers import PROGRAM, PgBouncer
from tests.servers import granian
from tests.test_servers import Product

CREDENTIALS = 2500  # more than a cursor of the server's would hand out at once
CHATTING = 4

pytestmark = pytest.mark.xdist_group("pgbouncer")


class Pooled(Product):
    """The product, whose database is reached through the pooler alone."""

    def __init__(self, folder: Path, url: str) -> None:
        self._url = url
        super().__init__(granian, folder)

    def start_valkey(self) -> None:
        self.environ |= {"DATABASE_URL": self._url, "CHAT_MAX_TURNS_PER_PROCESS": str(CHATTING)}
        super().start_valkey()


@pytest.fixture(scope="module")
def role(postgresql) -> str:
    """An ordinary role that owns its database, with a name that needs quotes."""
    role = "state keep"
    with psycopg.connect(postgresql.url, autocommit=True) as admin:
        admin.execute(f'CREATE ROLE "{role}" LOGIN')
        admin.execute(f'ALTER DATABASE postgres OWNER TO "{role}"')
        admin.execute(f'ALTER SCHEMA public OWNER TO "{role}"')
    return role


@pytest.fixture(scope="module")
def pooler(postgresql, role) -> Iterator[PgBouncer]:
    if PROGRAM is None:
        pytest.skip("no pgbouncer here (on Debian: apt-get install pgbouncer)")
    pooler = PgBouncer(postgresql.port, role)
    yield pooler
    pooler.remove()


@pytest.fixture(scope="module")
def product(pooler, tmp_path_factory) -> Iterator[Pooled]:
    """Migrated through the pooler, with many credentials."""
    product = Pooled(tmp_path_factory.mktemp("pooled"), pooler.url)
    with psycopg.connect(pooler.url, prepare_threshold=None) as database:
        database.execute(
            "INSERT INTO connector_state_credential (key_id, encrypted_secret, connector_id,"
            " created_at) SELECT 'key-' || n, encrypted_secret, connector_id, created_at"
            " FROM connector_state_credential, generate_series(1, %s) n",
            [CREDENTIALS],
        )
    yield product
    product.stop()


# One process for all: each would take seconds to start.
COMMANDS = """
from django.core.management import call_command
for command in (
    "check_stores",
    "reindex_connector_state",
    "record_daily_figures",
    "flush_pending_turns",
    "purge_expired_conversations",
    "reencrypt_secrets",
):
    print(command)
    call_command(command)
"""


def test_pgbouncer__commands_work_while_others_chat_and_call(product):
    keys = ENVIRONMENT["CONNECTOR_SECRET_KEYS"]
    target = product.connector.path().encode()

    def chat(number: int) -> list[int]:
        user = User(product.server, f"user-{number}")
        return [user.chat(f"add {text}", "c").status_code for text in ("one", "two", "three")]

    product.environ["CONNECTOR_SECRET_KEYS"] = f"{Fernet.generate_key().decode()},{keys}"
    with ThreadPoolExecutor(CHATTING) as pool:
        chats = pool.map(chat, range(CHATTING))
        assert product.raw(product.raw_request("PUT", target, b"kept"))[0] == 204
        said = product.manage("shell", "--no-imports", "-c", COMMANDS)
        assert list(chats) == [[200, 200, 200]] * CHATTING
    assert f"all {CREDENTIALS + 1} can be decrypted" in said
    assert "WARNING  Database" in said
    assert "Behind a pooler the role has to have limits" in said
    assert "1 connector," in said
    assert f"Encrypted anew: {CREDENTIALS + 1}" in said


WRITES = """
from django.db import connection, transaction
from chat.models import Turn
from common.database.statements import Parameter, Update
change = Update(lambda: Turn.objects.filter(pk=Parameter("id")), "message", "tool_calls", "reply")
with transaction.atomic():
    for number in range(9):
        change.run(id="none", message=f"{number} %", tool_calls=[{"n": number}], reply=None)
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_prepared_statements")
        print("prepared:", *cursor.fetchone())
"""


def test_pgbouncer__nothing_is_prepared_through_it(product, postgresql, role, monkeypatch):
    assert "prepared: 0" in product.manage("shell", "--no-imports", "-c", WRITES)
    direct = f"postgresql://{quote(role)}@127.0.0.1:{postgresql.port}/postgres"
    monkeypatch.setitem(product.environ, "DATABASE_URL", direct)
    assert "prepared: 1" in product.manage("shell", "--no-imports", "-c", WRITES)


ISOLATION = """
from django.core.management import call_command
from django.db import connection, transaction
call_command("check_stores")
with transaction.atomic(), connection.cursor() as cursor:
    cursor.execute("SHOW transaction_isolation")
    print("isolation:", *cursor.fetchone())
"""


def test_pgbouncer__whose_database_has_another_default_isolation(product, postgresql, role):
    with psycopg.connect(postgresql.url, autocommit=True) as admin:
        alter = "ALTER DATABASE postgres {} default_transaction_isolation"
        backends = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s"
        admin.execute(f"{alter.format('SET')} = 'serializable'")
        admin.execute(backends, [role])
        try:
            said = product.manage("shell", "--no-imports", "-c", ISOLATION)
        finally:
            admin.execute(alter.format("RESET"))
            admin.execute(backends, [role])
    assert "isolation: read committed" in said
    missing = f"ALTER ROLE \"{role}\" SET default_transaction_isolation = 'read committed';"
    assert missing in said


def test_pgbouncer__migrations_at_once_wait_for_each_other(product, pooler):
    with ThreadPoolExecutor(2) as pool:
        said = list(pool.map(lambda _: product.manage("migrate"), range(2)))
    assert all("No migrations to apply." in words for words in said)
    with psycopg.connect(pooler.url) as other:  # the lock stays with nobody
        count = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"
        assert other.execute(count).fetchone() == (0,)


SLEEP = """
from django.core.management import call_command
from django.db import connection
call_command("check_stores")
connection.cursor().execute("SELECT pg_sleep(60)")
"""


def test_pgbouncer__the_limits_are_the_role_s(product, postgresql, role):
    """Last, for it changes the role."""
    alter = f'ALTER ROLE "{role}" SET lock_timeout = 5000; '
    alter += f'ALTER ROLE "{role}" SET statement_timeout = 15000;'
    missing = f"Behind a pooler the role has to have limits: {alter}"
    assert missing in (product.folder / "log").read_text()  # of the workers' start
    with psycopg.connect(product.environ["DATABASE_URL"]) as other:  # who meets none of ours
        assert other.execute("SHOW statement_timeout").fetchone() == ("0",)
    with psycopg.connect(postgresql.url, autocommit=True) as admin:
        admin.execute(alter.replace("15000", "2000"))
        backends = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s"
        admin.execute(backends, [role])
    with pytest.raises(subprocess.CalledProcessError) as ended:
        product.manage("shell", "--no-imports", "-c", SLEEP)
    assert "statement timeout" in ended.value.stderr
    assert "Behind a pooler" not in ended.value.stdout
