"""State calls from an event loop, against a real Valkey."""

import asyncio

from connector_state.store.calls import Caller
from connector_state.store.keys import Address
from connector_state.store.values import AsyncStateStore, Entry, StateStore

UUID = "3f8e0c8e-6f0a-4c8e-9a52-2f1d6c7b9e11"
DELTA = Address("m365", "delta")


def store() -> AsyncStateStore:
    return AsyncStateStore(UUID, Caller.operator("tests"))


def test_async_store__has_the_methods_of_the_other():
    def public(of: type) -> set[str]:
        return {name for name in dir(of) if not name.startswith("_")}

    assert public(AsyncStateStore) == public(StateStore)


def test_async_store__puts_gets_and_deletes():
    async def work() -> tuple[str, Entry | None, bool, Entry | None]:
        etag = await store().put(DELTA, b"v", 60)
        entry = await store().get(DELTA)
        return etag, entry, await store().delete(DELTA), await store().get(DELTA)

    etag, entry, existed, nothing = asyncio.run(work())
    assert entry == Entry(b"v", etag, 60)
    assert (existed, nothing) == (True, None)
