"""Conversations and tool results that are too large."""

import pytest

from chat.models import Turn
from chat.toolbox import Toolbox
from tests.chat.drive import ask, contents, document, get_raw

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


def test_two_hundred_messages_of_ten_thousand_characters__fit(settings):
    message = "\N{GRINNING FACE}" * 10_000
    for _ in range(101):
        assert not ask(message).degraded
    assert 100 < len(document().messages) <= 200
    assert len(get_raw()) <= settings.CHAT_MAX_STATE_BYTES


def test_one_tool_result_larger_than_a_document__is_cut_and_says_so(monkeypatch):
    def huge(self, calls):
        row = Turn.objects.get()
        row.tool_calls = [
            {"tool": "list_tasks", "parameters": {}, "result": {"tasks": ["x" * 5_000_000]}}
        ]
        row.save(update_fields=["tool_calls"])
        self._turn.tool_calls = row.tool_calls
        return [{"success": True, "tasks": [], "count": 0, "filter": "all"}]

    monkeypatch.setattr(Toolbox, "call_all", huge)
    assert not ask("show my tasks").degraded
    result = document().messages[1].tool_calls[0].result
    assert result["truncated"] is True
    assert result["original_bytes"] > 5_000_000
    assert len(get_raw()) < 100_000
