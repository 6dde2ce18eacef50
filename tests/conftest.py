"""Fixtures for all tests."""

from collections.abc import Iterator

import pytest
from django_redis import get_redis_connection

from connector_state import credentials


@pytest.fixture(autouse=True)
def _fresh_stores() -> Iterator[None]:
    """Each test meets an empty Redis and an empty credential cache."""
    get_redis_connection().flushall()
    credentials.clear_cache()
    yield
    credentials.clear_cache()
