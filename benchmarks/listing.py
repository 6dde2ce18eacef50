"""What a page of keys costs, beside nothing else and beside a million other keys.

`python -m benchmarks.listing`: milliseconds of a page of 100, from the middle of a connector's
10,000 keys, median of 200, through the scripts alone, and of that what Valkey counts; then again
after a million keys of other connectors and 990,000 more of its own came in beside them.
"""

import shutil
import statistics
import tempfile
import time
from pathlib import Path

import redis
from django.conf import settings

settings.configure(HMAC_SKEW_SECONDS=60)

from connector_state.store import index  # noqa: E402
from connector_state.store.calls import Caller  # noqa: E402
from connector_state.store.keys import connector_keys  # noqa: E402
from tests.servers import start_valkey  # noqa: E402

PAGE, MIDDLE = 100, "delta:0005000"


def main() -> None:
    """Fill, measure, fill more, measure again."""
    folder = Path(tempfile.mkdtemp(prefix="statekeep-bench-"))
    socket = folder / "s"
    valkey = start_valkey(folder / "valkey", "--port", "0", "--unixsocket", str(socket))
    client = redis.Redis(unix_socket_path=str(socket))
    try:
        _fill(client, "mine", 10_000)
        print(f"Milliseconds of a page of {PAGE}, and what Valkey counts of it")
        print("10,000 keys:                          {:.2f}  {:.2f}".format(*_page_ms(client)))
        for other in range(10):
            _fill(client, f"other{other}", 100_000)
        print("and a million of other connectors:    {:.2f}  {:.2f}".format(*_page_ms(client)))
        _fill(client, "mine", 1_000_000)
        print("and a million of its own:             {:.2f}  {:.2f}".format(*_page_ms(client)))
    finally:
        valkey.terminate()
        valkey.wait(20)
        shutil.rmtree(folder)


def _fill(client: "redis.Redis", connector: str, count: int) -> None:
    pipeline, keys = client.pipeline(transaction=False), connector_keys(connector)
    for number in range(count):
        member = f"m365:delta:{number:07}"
        pipeline.set(keys.value_prefix + member, b"x" * 200)
        pipeline.zadd(keys.named("index"), {member: 0})
        if number % 10_000 == 9_999:
            pipeline.execute()
    pipeline.execute()


def _page_ms(client: "redis.Redis") -> tuple[float, float]:
    times, counted = [], []
    for _ in range(200):
        client.config_resetstat()
        began = time.perf_counter()
        _run(client, index.list_keys_steps("mine", Caller.operator("t"), "m365", "", MIDDLE, PAGE))
        times.append(1000 * (time.perf_counter() - began))
        counted.append(client.info("commandstats")["cmdstat_evalsha"]["usec"] / 1000)
    return statistics.median(times), statistics.median(counted)


def _run(client: "redis.Redis", steps) -> index.KeyPage:
    step = next(steps)
    while True:
        text, keys = step.script.usual, step.keys
        try:
            reply = client.evalsha(text.sha, len(keys), *keys, *step.arguments)
        except redis.exceptions.NoScriptError:
            reply = client.eval(text.text, len(keys), *keys, *step.arguments)
        try:
            step = steps.send(reply)
        except StopIteration as end:
            assert len(end.value.keys) == PAGE
            return end.value


if __name__ == "__main__":
    main()
