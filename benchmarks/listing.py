"""What a page of keys costs, beside nothing else and beside a million other keys.

`python -m benchmarks.listing`: milliseconds of a page of 100, from the middle of a connector's
10,000 keys, median of 200, through the script alone; then again after a million keys of other
connectors and 90,000 more of its own came in beside them.
"""

import os
import shutil
import statistics
import tempfile
import time
from pathlib import Path

import redis

from connector_state.store.connection import Script
from connector_state.store.keys import OWN_KEYS
from tests.servers import start_valkey

PAGE = 100


def main() -> None:
    """Fill, measure, fill more, measure again."""
    folder = Path(tempfile.mkdtemp(prefix="statekeep-bench-"))
    socket = folder / "s"
    valkey = start_valkey(folder / "valkey", "--port", "0", "--unixsocket", str(socket))
    client = redis.Redis(unix_socket_path=str(socket))
    try:
        _fill(client, "mine", 10_000)
        print(f"10,000 keys:                          {_page_ms(client):.2f} ms a page of {PAGE}")
        for other in range(10):
            _fill(client, f"other{other}", 100_000)
        print(f"and a million of other connectors:    {_page_ms(client):.2f} ms")
        _fill(client, "mine", 100_000)
        print(f"and 100,000 of its own:               {_page_ms(client):.2f} ms")
    finally:
        valkey.terminate()
        valkey.wait(20)
        shutil.rmtree(folder)


def _fill(client: "redis.Redis", connector: str, keys: int) -> None:
    pipeline = client.pipeline(transaction=False)
    for number in range(keys):
        member = f"m365:delta:{number:07}"
        pipeline.set(f"v:{connector}:{member}", b"x" * 200)
        pipeline.zadd(f"statekeep:{{{connector}}}:index", {member: 0})
        if number % 10_000 == 9_999:
            pipeline.execute()
    pipeline.execute()


def _page_ms(client: "redis.Redis") -> float:
    sha = client.script_load(Script("list_keys").usual.text)
    keys = ["statekeep:{mine}:" + name for name in OWN_KEYS]
    times, page = [], ("m365:", "m365:delta:0005000", PAGE)
    for number in range(200):
        shared = [os.urandom(9), 150, "kid", 0, 0, "v:mine:"]
        began = time.perf_counter()
        client.evalsha(sha, 1 + len(keys), f"nonce{number}{began}", *keys, *shared, *page)
        times.append(1000 * (time.perf_counter() - began))
    return statistics.median(times)


if __name__ == "__main__":
    main()
