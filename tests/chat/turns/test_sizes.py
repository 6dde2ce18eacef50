"""Conversations and tool results that are too large."""

import json

import pytest

from chat.deadline import Deadline
from chat.errors import StoreRefused
from chat.models import Turn
from chat.repair.dead_letters import read_content, retry
from tests.chat.drive import ask, contents, document, get_raw, hooked

pytestmark = pytest.mark.django_db(transaction=True)


def test_four_mebibytes__the_oldest_turns_go(settings):
    settings.CHAT_MAX_STATE_BYTES = 300_000
    settings.CHAT_MESSAGE_WINDOW = 10
    for number in range(12):
        assert not ask(f"{number} " + "\N{GRINNING FACE}" * 9_000).degraded
    kept = [text.split()[0] for text in contents()]
    assert kept == [str(number) for number in range(12 - len(kept), 12)]
    assert 5 < len(kept) < 12
    assert len(get_raw()) <= 300_000


@pytest.mark.usefixtures("chat_store")
def test_more_than_four_mebibytes_in_a_store_of_four__the_oldest_turns_go(settings):
    settings.CHAT_MAX_STATE_BYTES = 4_100_000  # the setting's maximum, below a sidecar's 4 MiB
    message = "\N{GRINNING FACE}" * 10_000
    for number in range(106):
        assert not ask(f"{number:03}{message[3:]}").degraded
    kept = [int(text[:3]) for text in contents()]
    assert kept == list(range(106 - len(kept), 106))
    assert 4_000_000 < len(document().model_dump_json().encode()) < 4_200_000


def refuse():
    raise StoreRefused


def test_one_tool_result_larger_than_a_document__is_cut_and_says_so(monkeypatch):
    """Our tools return none, but an operator may type one into a dead letter."""
    with hooked(monkeypatch) as repository:
        repository.before["save"] = [refuse]
        ask("show my tasks")
    letter = Turn.objects.get()
    call = {"tool": "list_tasks", "parameters": {}, "result": {"tasks": ["x" * 5_000_000]}}
    content = read_content(letter.message, letter.reply, json.dumps([call]))
    assert retry(letter, content, Deadline(10)).state == Turn.State.STORED
    result = document().messages[1].tool_calls[0].result
    assert result["truncated"] is True
    assert result["original_bytes"] > 5_000_000
    assert len(get_raw()) < 100_000
