"""What metrics add to a state call: CPU by wrk, and microseconds in process.

    python -m benchmarks.metrics [--rounds N] [--seconds N]

Two servers with one worker each, one with METRICS_TOKEN, take turns in many short rounds. What is
compared is the CPU seconds of a server per 1,000 calls in two rounds that follow each other, the
first one changing, and the median of these ratios is the figure: what else the machine does is in
both, and a round that it disturbs is one of many.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.load import Bench, _create_connector, _granian
from config.local.run import GRANIAN_OPTIONS
from tests.environment import ENVIRONMENT
from tests.servers import start_valkey

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
    """The product without metrics and with them."""

    def __init__(self, folder: Path, seconds: int, valkey_pid: int) -> None:
        self.folder, self.seconds, self.valkey_pid = folder, seconds, valkey_pid
        environ = {
            **ENVIRONMENT,
            "DATA_DIR": str(folder),
            "REDIS_URL": f"unix://{folder / 's'}",
            "DATABASE_URL": f"sqlite:///{folder / 'db.sqlite3'}",
            "STATE_MAX_REQUESTS_PER_SECOND": "1000000",
        }
        self.credentials = _create_connector(environ)
        self.off = _granian("config.asgi", environ, folder / "off.log", GRANIAN_OPTIONS)
        environ["METRICS_TOKEN"] = "a-token-for-metrics"
        self.on = _granian("config.asgi", environ, folder / "on.log", GRANIAN_OPTIONS)


def main() -> None:
    """Run all rounds and print the ratios."""
    parser = argparse.ArgumentParser(description="Measure what metrics cost a state call.")
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--seconds", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="statekeep-bench-") as name:
        folder = Path(name)
        subprocess.run([sys.executable, "-c", IN_PROCESS, str(folder / "counts")], check=True)
        socket = ("--port", "0", "--unixsocket", str(folder / "s"))
        valkey = start_valkey(folder / "valkey", *socket)
        try:
            _measure(_Pair(folder, options.seconds, valkey.pid), options.rounds)
        finally:
            valkey.terminate()
            valkey.wait(10)


def _measure(pair: _Pair, rounds: int) -> None:
    try:
        for method in ("PUT", "GET"):
            ratios = []
            for number in range(rounds + 1):
                order = (pair.off, pair.on) if number % 2 else (pair.on, pair.off)
                cost = {each: pair.state(each, method, close=False).server for each in order}
                if number:  # the first warms up
                    ratios.append(cost[pair.on] / cost[pair.off])
            low, median, high = statistics.quantiles(ratios)
            print(f"  {method}: with metrics x {median:.3f} (half of them {low:.3f} to {high:.3f})")
    finally:
        pair.off.stop()
        pair.on.stop()


if __name__ == "__main__":
    main()
