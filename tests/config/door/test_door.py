"""The door as a whole, in this process: whom it refuses, and what it takes note of."""

import asyncio
import io

import pytest

from config.door import application as door
from tests.connectors import PREFIX
from tests.door import serve


def scope_of(path, method="GET", address="192.0.2.1", **headers):
    return {
        "type": "http",
        "http_version": "1.1",
        "scheme": "http",
        "method": method,
        "raw_path": path.encode(),
        "query_string": b"",
        "server": ("testserver", 80),
        "client": (address, 1),
        "headers": [
            (name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()
        ],
    }


async def get(path, **options):
    status, headers, body = await serve(scope_of(path, **options), io.BytesIO())
    return status, dict(headers), body


@pytest.mark.parametrize(
    ("path", "content_type"), [("/livez", "application/json"), ("/admin/x/", "text/html")]
)
def test_address__with_too_much_under_way_is_refused_and_others_are_not(
    settings, path, content_type
):
    settings.MAX_REQUESTS_PER_ADDRESS = 2

    async def run():
        from config.asgi import application

        async def stall():
            await asyncio.sleep(60)

        form = scope_of("/admin/login/", "POST", content_length="5")
        stalled = [asyncio.create_task(application(form, stall, None)) for _ in range(2)]
        await asyncio.sleep(0)
        found = [await get(path), await get("/livez", address="192.0.2.2")]
        for each in stalled:
            each.cancel()
        await asyncio.wait(stalled)
        return [*found, await get("/livez")]

    refused, other, afterwards = asyncio.run(run())
    assert (refused[0], refused[1]["retry-after"]) == (503, "5")
    assert refused[1]["content-type"].startswith(content_type)
    assert (other[0], afterwards[0]) == (200, 200)


@pytest.mark.parametrize(("token", "expected"), [("", 404), ("a-token", 401)])
def test_metrics__are_answered_on_the_loop(settings, token, expected):
    settings.METRICS_TOKEN = token
    status, headers, _ = asyncio.run(get("/metrics"))
    assert (status, headers["content-type"]) == (expected, "application/json")


def test_note__is_called_once_for_each_answer(monkeypatch):
    noted = []
    monkeypatch.setattr(
        door, "note", lambda environ, *rest: noted.append((environ["RAW_URI"], *rest))
    )
    for path in ("/livez", f"{PREFIX}/state/%FF", f"{PREFIX}/state/x"):
        asyncio.run(get(path))
    assert [(path.rpartition("/")[2], status) for path, status, _ in noted] == [
        ("livez", 200),
        ("%FF", 400),
        ("x", 404),
    ]
    assert all(0 < seconds < 60 for *_, seconds in noted)


def test_websocket__is_none_of_its_business():
    async def run():
        from config.asgi import application

        await application({"type": "websocket"}, None, None)

    with pytest.raises(ValueError, match="no websocket here"):
        asyncio.run(run())
