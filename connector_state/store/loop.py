"""Scripts on Redis, from an event loop: as connection.run, without blocking."""

import asyncio
from collections.abc import Sequence
from typing import Any

from connector_state.store import connection


async def run(
    script: connection.Script,
    keys: Sequence[connection.Argument],
    arguments: Sequence[connection.Argument],
    *,
    when_full: bool = False,
) -> list[Any]:
    """Run the script and return its reply; arguments and errors are connection.run's."""
    return await asyncio.to_thread(connection.run, script, keys, arguments, when_full=when_full)
