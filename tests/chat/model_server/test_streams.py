"""Answers that come as streams, whether that was asked for or not."""

import json

import pytest

from chat.errors import ModelFailed
from chat.model_server.stream.pieces import Pieces
from tests.chat.model_server.dialogue import ASSISTANT, answered, entry
from tests.chat.model_server.events import STOP, delta, streamed
from tests.chat.model_server.imitation import Raw, said


@pytest.mark.parametrize(
    "events",
    [
        [delta("Do"), delta("ne."), delta(None, "stop")],
        [{"choices": [], "prompt_filter_results": []}, delta("Done.", reasoning_content="h")],
        [delta("<th"), delta("ink>hm</think>\n"), delta("Done."), {"choices": []}],
        [delta([{"type": "text", "text": "Done."}]), {"usage": {"total_tokens": 1}}],
        [delta("Done."), {"choices": [{"index": 0, "message": {"content": "Done."}}]}],
        [{"choices": [{"index": "0", "message": {"content": "Done."}}]}],
        [delta("Done."), {"choices": [{"index": 1, "delta": {"content": "No."}}]}],
        [{"choices": [{"index": 1, "delta": {"content": "No."}}]}, delta("Done.")],
        # each with all so far; each with some more; the last with all, put a little differently
        [{"choices": [{"message": {"content": text}}]} for text in ("Do", "Done", "Done.")],
        [{"choices": [{"message": {"content": text}}]} for text in ("Do", "ne", ".")],
        [delta("Do"), delta("ne."), {"choices": [{"message": {"content": " Done. "}}]}],
        [delta(""), {"choices": [{"message": {"content": "Done."}}]}],
        [delta("<think>hm</think> <think>so</think>"), delta("Done.")],
        [delta("[TH"), delta("INK]hm[/THINK]Done.")],
        [
            delta("<|channel|>analysis<|message|>hm<|end|>"),
            delta("<|channel|>final<|message|>Done."),
        ],
    ],
)
def test_reads__text_of_a_stream(server, events):
    server.give(streamed(*events))
    assert answered() == "Done."
    pieces = Pieces()
    assert "".join(map(pieces.add, events)) == "Done."


@pytest.mark.usefixtures("both_ways")
@pytest.mark.parametrize(
    "body",
    [
        b"id: 1\n%b",
        b"retry: 5\nid: 1\nevent: message\n%b",
        b"\xef\xbb\xbf%b",
        b"\n\n%b",
        b"data: ping\n\n%b",
        b"data: {\ndata: }\n\n%b",
    ],
)
def test_stream__may_begin_so(server, body):
    server.give(Raw(body % streamed(delta("Done."), STOP).body.removeprefix(b": hello\n\n")))
    assert answered() == "Done."


@pytest.mark.usefixtures("both_ways")
@pytest.mark.parametrize(
    "end",
    [
        b"data: [DONE]",
        b"",
        b'data: {"error": {"message": "too late"}}\n\n',
        b"data: {\n\n",
        b"event: error\ndata: no more\n\n",
    ],
)
def test_stream__may_end_so_after_the_answer(server, end):
    server.give(streamed(delta("Done."), STOP, end=end))
    assert answered() == "Done."
    server.give(Raw(streamed(delta("Done."), STOP, end=b"").body.rstrip()))
    assert answered() == "Done."


@pytest.mark.usefixtures("both_ways")
def test_stream__text_may_hold_any_separator_of_lines(server):
    text = "a\u2028b\u0085c\x1cd"
    raw = json.dumps(delta(text), ensure_ascii=False).encode()
    server.give(Raw(b"data: %b\n\ndata: [DONE]\n\n" % raw))
    assert answered() == text.replace("\x1c", "\ufffd")


@pytest.mark.usefixtures("both_ways")
@pytest.mark.parametrize("form", [b"data: %b\n\ndata: [DONE]\n\n", b"%b"])
def test_stream__text_may_hold_broken_characters_as_in_a_whole_answer(server, form):
    server.give(Raw(form % b'{"choices": [{"message": {"content": "caf\xe9 \xf0\x9f"}}]}'))
    assert answered() == "caf\ufffd \ufffd"


@pytest.mark.usefixtures("both_ways")
@pytest.mark.parametrize(
    ("events", "reason"),
    [
        ([{"error": {"message": "busy", "code": 400}}], "HTTP 400 (400: busy)"),
        ([{"error": "busy"}], "HTTP 200 (busy)"),
        ([{"object": "error", "message": "busy", "code": 400}], "HTTP 400 (400: busy)"),
        ([{"type": "error", "message": "busy"}], "HTTP 200 (error: busy)"),
        ([{"message": "busy", "code": 504}], "HTTP 504 (504: busy)"),
        ([{"choices": [{"error": {"message": "busy"}}]}], "HTTP 200 (busy)"),
        ([[{"error": {"message": "busy", "code": 400}}]], "HTTP 400 (400: busy)"),
        ([delta(None, "error")], "HTTP 200 (finish_reason: error)"),
        ([delta(None, "null")], "its stream breaks off"),
        ([3], "not an object"),
        ([], "its stream breaks off"),
    ],
)
def test_stream__that_breaks_off_or_tells_of_an_error_is_no_answer(server, caplog, events, reason):
    server.give(streamed(delta("Not a secret"), *events, end=b""))
    with pytest.raises(ModelFailed):
        answered()
    assert reason in caplog.text
    assert "secret" not in caplog.text


@pytest.mark.usefixtures("both_ways")
def test_stream__an_error_event_needs_no_form(server, caplog):
    server.give(streamed(delta("Not"), end=b'event: error\ndata: {"message": "busy"}\n\n'))
    with pytest.raises(ModelFailed):
        answered()
    server.give(streamed(delta("Not"), end=b"event: error\ndata: busy\n\ndata: [DONE]\n\n"))
    with pytest.raises(ModelFailed):
        answered()
    assert caplog.text.count("failed: HTTP 200 (busy)") == 2


@pytest.mark.usefixtures("both_ways")
@pytest.mark.parametrize(
    "error",
    [
        {"message": "maximum context length is 100", "code": 400},
        {"message": "Slow down", "code": 429},
        {"type": "overloaded_error", "message": "Overloaded"},
    ],
)
def test_stream__an_error_before_the_first_word_is_read_as_a_refusal(server, error):
    server.give(streamed({"error": error}), said())
    assert answered(window=[entry("user", "x" * 20_000), ASSISTANT]) == "Done."


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (streamed(delta("a secret"), end=b'data: {"a secret\n\n'), "not JSON"),
        (streamed(delta("a secret"), end=b"data: a secret\n\n"), "its stream breaks off"),
    ],
)
def test_stream__that_breaks_is_logged_without_its_words(server, caplog, raw, reason):
    server.give(raw)
    with pytest.raises(ModelFailed):
        answered()
    assert reason in caplog.text
    assert "secret" not in caplog.text
