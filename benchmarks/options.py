"""What an option adds to a state call: CPU by wrk; for metrics, microseconds in process too.

    python -m benchmarks.options metrics|history [--rounds N] [--seconds N]

Two servers with one worker each, one with the option, take turns in many short rounds; each has a
connector of its own on the same Valkey. What is compared is the CPU seconds of a server and of
Valkey per 1,000 calls in two rounds that follow each other, the first one changing, and the median
of these ratios is the figure: what else the machine does is in both, and a round that it disturbs
is one of many. Each PUT overwrites another value, so with history each leaves a version.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from redis import Redis

from benchmarks.load import Bench, _create_connector, _granian, _manage
from config.local.run import GRANIAN_OPTIONS
from tests.environment import ENVIRONMENT
from tests.servers import Server, start_valkey

OPTIONS: dict[str, tuple[dict[str, str], dict[str, str]]] = {  # without it, and with it
    "metrics": ({}, {"METRICS_TOKEN": "a-token-for-metrics"}),
    "history": ({"STATE_KEEP_VERSIONS": "0", "STATE_KEEP_DAYS": "0"}, {}),
}

IN_PROCESS = """
import sys, timeit
from pathlib import Path
from django.conf import settings
settings.configure(TRUSTED_PROXY_COUNT=0)
from config.metrics import shared
shared.begin(Path(sys.argv[1]))
from common.telemetry import metrics, request
for name, call in {
    "a request's id": lambda: request.begin({}),
    "counting a request": lambda: metrics.count_request("PUT", "/a/<b:c>", 204, 0.0004),
    "counting a call to Redis": lambda: metrics.REDIS_SECONDS.observe(0.0003),
}.items():
    print(f"  {name:26} {min(timeit.repeat(call, number=5000, repeat=40)) / 5000 * 1e6:.2f} us")
"""


class _Pair(Bench):
    """The product without the option and with it."""

    def __init__(self, option: str, folder: Path, seconds: int, valkey_pid: int) -> None:
        self.folder, self.seconds, self.valkey_pid = folder, seconds, valkey_pid
        environ = {
            **ENVIRONMENT,
            "DATA_DIR": str(folder),
            "REDIS_URL": f"unix://{folder / 's'}",
            "DATABASE_URL": f"sqlite:///{folder / 'db.sqlite3'}",
            "STATE_MAX_REQUESTS_PER_SECOND": "1000000",
            "STATE_HISTORY_MAX_BYTES": "1000000000",
        }
        first = _create_connector(environ)
        created = _manage(environ, "create_connector", "with it", "--json")
        without, with_it = OPTIONS[option]
        self.off = _granian("config.asgi", environ | without, folder / "off.log", GRANIAN_OPTIONS)
        self.on = _granian("config.asgi", environ | with_it, folder / "on.log", GRANIAN_OPTIONS)
        self._of = {self.off: first, self.on: list(json.loads(created).values())}

    def cost(self, server: Server, method: str) -> float:
        """Return the CPU seconds of 1,000 calls, Valkey's with them."""
        self.credentials = self._of[server]
        cost = self.state(server, method, close=False)
        return cost.server + cost.valkey

    def bytes_of(self, redis: "Redis", server: Server) -> int:
        """Return the memory of all that a server's connector has stored, without its nonces."""
        keys = redis.scan_iter(f"*{self._of[server][0]}*", count=1000)
        kept = (key for key in keys if b"nonce" not in key)
        return sum(redis.memory_usage(key, samples=0) or 0 for key in kept)


def main() -> None:
    """Run all rounds and print the ratios."""
    parser = argparse.ArgumentParser(description="Measure what an option costs a state call.")
    parser.add_argument("option", choices=OPTIONS)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--seconds", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="statekeep-bench-") as name:
        folder = Path(name)
        if options.option == "metrics":
            subprocess.run([sys.executable, "-c", IN_PROCESS, str(folder / "counts")], check=True)
        socket = ("--port", "0", "--unixsocket", str(folder / "s"))
        valkey = start_valkey(folder / "valkey", *socket)
        try:
            pair = _Pair(options.option, folder, options.seconds, valkey.pid)
            _measure(pair, options.rounds, options.option)
        finally:
            valkey.terminate()
            valkey.wait(10)


def _measure(pair: _Pair, rounds: int, option: str) -> None:
    try:
        for method in ("PUT", "GET"):
            ratios = []
            for number in range(rounds + 1):
                order = (pair.off, pair.on) if number % 2 else (pair.on, pair.off)
                cost = {each: pair.cost(each, method) for each in order}
                if number:  # the first warms up
                    ratios.append(cost[pair.on] / cost[pair.off])
            low, median, high = statistics.quantiles(ratios)
            print(
                f"  {method}: with {option} x {median:.3f} (half of them {low:.3f} to {high:.3f})"
            )
        redis = Redis(unix_socket_path=str(pair.folder / "s"))
        off, on = (pair.bytes_of(redis, each) / 1000 for each in (pair.off, pair.on))
        print(f"  memory of a key of 1,500 bytes: {off:.0f} bytes, with {option} {on:.0f}")
    finally:
        pair.off.stop()
        pair.on.stop()


if __name__ == "__main__":
    main()
