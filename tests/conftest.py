"""Fixtures for all tests."""

from collections.abc import Iterator

import pytest
from django.db import connections
from django_redis import get_redis_connection

from connector_state import live_credentials
from tests.environment import data_dir


@pytest.fixture(scope="session")
def django_db_modify_db_settings(django_db_modify_db_settings_parallel_suffix: None) -> None:
    """The tests' SQLite is a file, as in production: in memory, threads would lock tables."""
    settings = connections["default"].settings_dict
    if settings["ENGINE"].endswith("sqlite3"):
        settings["TEST"]["NAME"] = str(data_dir() / "test.sqlite3")


@pytest.fixture(autouse=True)
def _fresh_stores() -> Iterator[None]:
    """Each test meets an empty Redis and an empty credential cache."""
    get_redis_connection().flushall()
    live_credentials.clear_cache()
    yield
    live_credentials.clear_cache()
