"""Fixtures for connector state."""

import pytest

from tests.connectors import SigningConnector


@pytest.fixture
def connector(db) -> SigningConnector:
    """A connector with a live credential."""
    return SigningConnector.create()


@pytest.fixture
def stranger(db) -> SigningConnector:
    """Another connector with a live credential."""
    return SigningConnector.create("a stranger")
