"""A restore beside a connector that runs."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from client.statekeep_client import Refused, StateClient

# A slow disk must not cost the reply to a write: the client could not know then that the next one,
# which is refused, was never carried out.
ENVIRON = {"REDIS_TIMEOUT_SECONDS": "5"}


def test_restore__stays_though_the_connector_runs(product):
    """`state restore --hold-writes` while a connector writes without a pause."""
    credential = json.loads(product.manage("create_connector", "running", "--json")).values()
    with StateClient(product.server.url, *credential, deadline_seconds=30) as state:
        yesterday = state.put("m365", "delta", "yesterday's")
        state.put("m365", "delta", "broken")

        def write_until_refused() -> str:
            with pytest.raises(Refused) as refused:
                while True:
                    state.put("m365", "delta", "broken too")
                    state.put("m365", "delta", "broken")
            return refused.value.code

        with ThreadPoolExecutor() as pool:
            running = pool.submit(write_until_refused)
            arguments = ("running", "m365", "delta", yesterday, "--hold-writes")
            product.manage("state", "restore", *arguments)
            assert running.result(timeout=30) == "read_only"
        assert state.get("m365", "delta").value == "yesterday's"
