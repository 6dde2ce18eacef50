"""What a state call costs on a Redis Cluster, beside a single Redis.

    python -m benchmarks.cluster [--rounds N] [--seconds N]

Two servers with one worker each, one on a Valkey and one on a cluster of three primaries with a
replica each, all by TCP and without a disk, take turns in many short rounds. Each request is of
another connector, of 10,000, so that all primaries are asked. What is compared is the CPU seconds
of a server per 1,000 calls in two rounds that follow each other, the first one changing, and the
median of these ratios is the figure. Requests a second are compared in the same way: where all
nodes share the cores with the server, the replicas' work is in them.
"""

import argparse
import statistics
import tempfile
from pathlib import Path

from benchmarks.load import CREATE_FLEET, Bench, Cost, _create_connector, _granian, _manage
from config.local.run import GRANIAN_OPTIONS
from tests.environment import ENVIRONMENT
from tests.redis_cluster import RedisCluster
from tests.servers import free_port, start_valkey


class _Pair(Bench):
    """The product on a single Redis, and on a cluster."""

    def __init__(self, folder: Path, seconds: int, port: int, cluster: RedisCluster) -> None:
        self.folder, self.seconds = folder, seconds
        environ = {
            **ENVIRONMENT,
            "DATA_DIR": str(folder),
            "DATABASE_URL": f"sqlite:///{folder / 'db.sqlite3'}",
            "STATE_MAX_REQUESTS_PER_SECOND": "1000000",
        }
        single = environ | {"REDIS_URL": f"redis://127.0.0.1:{port}/0"}
        self.credentials = _create_connector(single)
        self.fleet = folder / "fleet"
        self.fleet.write_text(_manage(single, "shell", "--no-imports", "-c", CREATE_FLEET))
        self.single = _granian("config.asgi", single, folder / "single.log", GRANIAN_OPTIONS)
        environ["REDIS_CLUSTER"] = cluster.addresses
        self.cluster = _granian("config.asgi", environ, folder / "cluster.log", GRANIAN_OPTIONS)

    def stop(self) -> None:
        self.single.stop()
        self.cluster.stop()


def main() -> None:
    """Run all rounds and print the ratios."""
    parser = argparse.ArgumentParser(description="Measure what a cluster costs a state call.")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seconds", type=int, default=2)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="statekeep-bench-") as name:
        folder, port = Path(name), free_port()
        valkey = start_valkey(folder / "valkey", "--port", str(port))
        cluster = RedisCluster(folder / "cluster")
        try:
            cluster.start()
            pair = _Pair(folder, options.seconds, port, cluster)
            pair.valkey_pid = valkey.pid
            _measure(pair, options.rounds)
        finally:
            cluster.stop()
            valkey.terminate()
            valkey.wait(10)


def _measure(pair: _Pair, rounds: int) -> None:
    try:
        for method in ("PUT", "GET"):
            costs: list[tuple[Cost, Cost]] = []
            for number in range(rounds + 1):
                order = (pair.single, pair.cluster) if number % 2 else (pair.cluster, pair.single)
                cost = {each: pair.state(each, method, close=False, fleet=True) for each in order}
                if number:  # the first warms up
                    costs.append((cost[pair.single], cost[pair.cluster]))
            _print(method, costs)
    finally:
        pair.stop()


def _print(method: str, costs: list[tuple[Cost, Cost]]) -> None:
    single, cluster = (
        statistics.median(c.server for c in side) for side in zip(*costs, strict=True)
    )
    print(f"  {method}: CPU seconds per 1,000 calls {single:.3f} alone, {cluster:.3f} on a cluster")
    for what, ratios in {
        "CPU": [on.server / alone.server for alone, on in costs],
        "requests a second": [on.per_second / alone.per_second for alone, on in costs],
    }.items():
        low, median, high = statistics.quantiles(ratios)
        print(f"    {what}: a cluster x {median:.3f} (half of them {low:.3f} to {high:.3f})")


if __name__ == "__main__":
    main()
