"""A model's server for the tests of a module."""

from collections.abc import Iterator

import pytest

from chat.assistant import prepare_assistant
from tests.chat.model_server.imitation import ModelServer, running, said


@pytest.fixture(scope="module")
def running_server() -> Iterator[ModelServer]:
    prepare_assistant()
    with running(ModelServer()) as server:
        yield server


@pytest.fixture
def server(running_server, settings) -> ModelServer:
    settings.OPENAI_BASE_URL, settings.OPENAI_API_KEY = running_server.url, "a-key"
    settings.CHAT_TURN_SECONDS = 20
    running_server.give(said())
    return running_server
