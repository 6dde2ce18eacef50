"""Fixtures for all tests."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from socketserver import StreamRequestHandler
from typing import Any

import pytest
from django.contrib.auth.hashers import PBKDF2PasswordHasher
from django.db import connections
from django.test import TransactionTestCase
from django_redis import get_redis_connection
from redis.exceptions import ConnectionError as RedisConnectionError

from chat import impatience
from chat.admin import pages as chat_pages
from chat.live import local
from chat.live.words import Words
from config.middleware import WhiteNoiseMiddleware
from connector_state.credentials import database, live
from connector_state.credentials.cache import Cache
from connector_state.credentials.counters import call_counts, failures
from connector_state.credentials.entries import Source
from connector_state.store.scripts import connection, loop
from tests import quick_flush
from tests.chat.api.talking_model import TalkingModel
from tests.dsx_connect import ENV, DsxConnect
from tests.environment import data_dir
from tests.make_run import Run
from tests.sidecar.binary import NoSidecar
from tests.sidecar.stores import PostgreSQLStore

# Hashing a password takes a third of a second, on purpose, and tests make many users. The servers
# that tests start take hashes of fewer iterations, too.
PBKDF2PasswordHasher.iterations = 1000

# Python's servers, the live server among them, send an answer's head and body apart. The body would
# wait 40 ms for the client to acknowledge the head, on a connection that was used before.
StreamRequestHandler.disable_nagle_algorithm = True


# Fixtures that start servers for a module: the tests that share them run in one process.
SERVERS = (
    *("product", "site", "sites", "observed", "newcomer", "running"),
    *("migrated", "socket", "postgresql"),
)


@pytest.hookimpl(tryfirst=True)  # before xdist reads the marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Group the tests of one server."""
    for item in items:
        used = set(SERVERS).intersection(item.fixturenames)
        if used and not item.get_closest_marker("xdist_group"):
            parameters = item.callspec.params if hasattr(item, "callspec") else {}
            chosen = [parameters[name] for name in sorted(used & parameters.keys())]
            names = [getattr(one, "__name__", str(one)) for one in chosen]
            item.add_marker(pytest.mark.xdist_group("-".join([item.path.name, *names])))


@pytest.fixture(scope="session")
def django_db_modify_db_settings(django_db_modify_db_settings_parallel_suffix: None) -> None:
    """The tests' SQLite is a file, as in production: in memory, threads would lock tables."""
    settings = connections["default"].settings_dict
    if settings["ENGINE"].endswith("sqlite"):
        settings["TEST"]["NAME"] = str(data_dir() / "test.sqlite3")


@pytest.fixture(scope="session", autouse=True)
def _quick_flush() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TransactionTestCase, "_fixture_teardown", quick_flush.fixture_teardown)
        yield


@pytest.fixture(scope="session", autouse=True)
def _threads_close_their_connections() -> Iterator[None]:
    """The threads of tests end, and those of servers do not: psycopg warns of what they leave."""
    run = threading.Thread.run

    def run_and_close(thread: threading.Thread) -> None:
        try:
            run(thread)
        finally:
            connections.close_all()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(threading.Thread, "run", run_and_close)
        yield


@pytest.fixture(scope="session", autouse=True)
def _static_files_are_found_once() -> Iterator[None]:
    """Each test client loads the middleware, which would look for all static files each time."""
    found: dict[str, Any] = {}
    find = WhiteNoiseMiddleware.add_files_from_finders

    def find_once(middleware: Any) -> None:
        if not found:
            find(middleware)
            found.update(middleware.files)
        middleware.files = found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(WhiteNoiseMiddleware, "add_files_from_finders", find_once)
        yield


@pytest.fixture(scope="session", autouse=True)
def _turns_are_looked_after_with_a_database_alone() -> Iterator[None]:
    """The thread of the turns may look once more when the next test has no database."""
    stop = local._stop

    def stop_if_allowed(running: dict[str, Words]) -> None:
        try:
            stop(running)
        except RuntimeError as error:
            if "Database access not allowed" not in str(error):
                raise

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(local, "_stop", stop_if_allowed)
        yield


@pytest.fixture(autouse=True)
def _fresh_stores(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test meets an empty Redis, an empty credential cache and no failures: none are written
    unless it does so, for a timer's thread would write them into the next test.
    """
    monkeypatch.setattr(failures, "_tally", failures.Tally(failures._write, lambda flush: None))
    counts = failures.Tally(call_counts._write, lambda flush: None)
    monkeypatch.setattr(call_counts, "_tally", counts)
    monkeypatch.setattr(call_counts, "_addresses", {})
    monkeypatch.setattr(live, "_cache", CacheWithoutThread(database))
    monkeypatch.setattr(live, "_foreign", live.foreign_cache(CacheWithoutThread))
    get_redis_connection().flushdb()  # FLUSHALL writes a snapshot to the disk, too


@pytest.fixture(autouse=True)
def _patience(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages and rates wait for a store that is well as long as a loaded machine may need.

    What they do without one is as quick as in production in a test that is marked `impatient`.
    """
    if not request.node.get_closest_marker("impatient"):
        monkeypatch.setattr(connection, "QUICK_SECONDS", 5)
        monkeypatch.setattr(impatience, "TIMEOUT_SECONDS", 5)
        monkeypatch.setattr(chat_pages, "LOOK_SECONDS", 5)


class CacheWithoutThread(Cache):
    """Whoever waits for the cache's thread does its work: within the transaction of the test.

    On an event loop, which the database may not hold up, a thread of the moment does it.
    """

    def __init__(self, source: Source, *args: Any) -> None:
        super().__init__(source, *args)
        self._working = threading.Lock()

    def _wake(self) -> None:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            self._work_alone()
        else:
            threading.Thread(target=self._work_alone, args=[True]).start()

    def _work_alone(self, close: bool = False) -> None:
        with self._working:
            self.work()
        if close:
            connections.close_all()


@pytest.fixture
def cut_redis(settings, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Call it, and Redis refuses every connection from then on."""

    def refuse(*args: object, **kwargs: object) -> None:
        raise RedisConnectionError("refused")

    def cut() -> None:
        settings.REDIS_RETRY_SECONDS = 0
        monkeypatch.setattr(connection, "_evaluate", refuse)
        monkeypatch.setattr(loop._Calls, "evaluate", refuse)
        monkeypatch.setattr("redis.Redis.execute_command", refuse)
        monkeypatch.setattr("redis.client.Pipeline.execute", refuse)
        monkeypatch.setattr("common.redis_cluster.client.ClusterClient.execute_command", refuse)
        monkeypatch.setattr("redis.cluster.ClusterPipeline.execute", refuse)

    return cut


@pytest.fixture
def redis_away(cut_redis: Callable[[], None]) -> None:
    """Nobody listens where Redis was."""
    cut_redis()


@pytest.fixture
def runs(tmp_path: Path) -> Iterator[Callable[..., Run]]:
    """Start runs of `make run`, each in a folder of tmp_path, and stop them after the test."""
    started: list[Run] = []

    def start(name: str = "data", **environ: str) -> Run:
        started.append(Run(tmp_path / name, **environ))
        return started[-1]

    yield start
    for run in reversed(started):
        run.stop()


@pytest.fixture(scope="module")
def dsx_connect_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DsxConnect]:
    """A running one; `dsx_connect` is for tests that look it up."""
    server = DsxConnect(tmp_path_factory.mktemp("dsx-connect"))
    yield server
    server.stop()


@pytest.fixture
def dsx_connect(dsx_connect_server: DsxConnect, settings) -> DsxConnect:
    """It is empty, and the one that credentials are looked up in."""
    dsx_connect_server.redis.flushall()
    settings.DSX_CONNECT_REDIS_URL = dsx_connect_server.url
    settings.DSX_CONNECT_ENV = ENV
    return dsx_connect_server


@pytest.fixture(scope="module")
def postgresql() -> Iterator[PostgreSQLStore]:
    """A PostgreSQL of the module's tests."""
    try:
        store = PostgreSQLStore()
    except NoSidecar as reason:
        pytest.skip(str(reason))
    store.start()
    yield store
    store.remove()


@pytest.fixture(scope="module")
def model() -> Iterator[TalkingModel]:
    """A model's server that says what a module's tests tell it to."""
    model = TalkingModel()
    yield model
    model.close()
