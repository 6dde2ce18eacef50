"""A model that takes a second: any POST gets one completion of OpenAI's protocol, without tools.

Asked for a stream, it says its words one after the other, in the same time.

python -m benchmarks.slow_model PORT SECONDS
"""

import asyncio
import json
import sys

import uvloop

COMPLETION = {
    "id": "chatcmpl-slow",
    "object": "chat.completion",
    "created": 1,
    "model": "slow",
    "choices": [
        {
            "index": 0,
            "finish_reason": "stop",
            "message": {"role": "assistant", "content": "That took a while."},
        }
    ],
    "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
}
WORDS = [f"word {number}, " for number in range(50)]
BODY = json.dumps(COMPLETION).encode()
HEAD = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(BODY)}\r\n\r\n"
STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
)


def _chunk(data: str) -> bytes:
    event = f"data: {data}\n\n".encode()
    return b"%x\r\n%b\r\n" % (len(event), event)


def _event(delta: dict[str, str], ending: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": ending}
    return _chunk(json.dumps({"choices": [choice]}))


# Made once, as the model shares its processors with the server that is measured.
EVENTS = [_event({"role": "assistant", "content": word}) for word in WORDS]
STREAM_END = _event({}, "stop") + _chunk("[DONE]") + b"0\r\n\r\n"


async def serve(port: int, seconds: float) -> None:
    """Serve until the process is ended."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                body = await reader.readexactly(_content_length(head))
                if json.loads(body).get("stream"):
                    await _stream(writer, seconds)
                else:
                    await asyncio.sleep(seconds)
                    writer.write(HEAD.encode() + BODY)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", port, backlog=512)
    async with server:
        await server.serve_forever()


async def _stream(writer: asyncio.StreamWriter, seconds: float) -> None:
    writer.write(STREAM_HEAD)
    for event in EVENTS:
        await asyncio.sleep(seconds / len(EVENTS))
        writer.write(event)
    writer.write(STREAM_END)


def _content_length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), float(sys.argv[2])))
