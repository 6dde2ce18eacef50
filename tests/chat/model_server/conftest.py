"""A model's server for the tests of a module."""

from collections.abc import Iterator

import pytest

from chat.assistant import prepare_assistant
from chat.model_server import streaming
from tests.chat.model_server.dialogue import Tools
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


@pytest.fixture(params=[False, True], ids=["whole", "streamed"])
def both_ways(request, monkeypatch) -> bool:
    """The model is asked by aiohttp for a whole answer, and by the openai package to stream it."""
    monkeypatch.setattr(Tools, "is_followed", request.param)
    return bool(request.param)


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch) -> None:
    """Words are told as they come: to gather those of a tenth of a second costs a test as much."""
    monkeypatch.setattr(streaming, "TOGETHER_SECONDS", 0)
