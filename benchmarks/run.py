"""`make bench`: what a state call costs, as ratios to floors measured in the same run.

Method: one granian worker, a Valkey of its own without a disk (its fsync is the disk's cost, not
ours), values of 1.5 KB, a thousand keys, 16 connections. Every request is signed beforehand with a
nonce of its own and sent once by wrk, which fails the run on any answer that is not 2xx. The figure
is CPU seconds of the server's processes per 1,000 requests, from /proc, and Valkey's own beside it;
requests a second drift with whatever else the machine does. Rounds are interleaved with the floor
and with the WSGI application (config.wsgi, four threads), and the medians are compared.

A fleet is 10,000 connectors with a credential each, of which each request is another's.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from config.local.run import GRANIAN_OPTIONS
from tests.environment import ENVIRONMENT
from tests.servers import ROOT, Server, free_port, start_valkey

HERE = Path(__file__).parent
WSGI = ("--interface", "wsgi", "--http", "1", "--no-ws", "--blocking-threads", "4")
FLEET = 10_000
CREATE_FLEET = f"""
from connector_state.credentials.issuing import create_connector
from django.db import transaction
with transaction.atomic():
    for number in range({FLEET}):
        new = create_connector(f"connector {{number}}")
        print(new.connector.uuid, new.key_id, new.secret)
"""
VALUE_BYTES, KEYS, CONNECTIONS = 1500, 1000, 16
MOST_PER_SECOND = 9000
TICKS = os.sysconf("SC_CLK_TCK")


class Cost(NamedTuple):
    """What a load cost: CPU seconds per 1,000 requests, and how many a second there were."""

    server: float
    valkey: float
    per_second: float


def main() -> None:
    """Run all rounds and print the table."""
    options = _options()
    if not shutil.which("wrk"):
        raise SystemExit("make bench needs wrk: apt-get install wrk")
    folder = Path(tempfile.mkdtemp(prefix="statekeep-bench-"))
    socket = folder / "s"
    valkey = start_valkey(folder / "valkey", "--port", "0", "--unixsocket", str(socket))
    servers: list[Server] = []
    try:
        bench = Bench(folder, socket, options.seconds, valkey.pid)
        servers += [bench.product, bench.wsgi, bench.bare, bench.floor]
        _print_server(bench, options.rounds)
    finally:
        for server in servers:
            server.stop()
        valkey.terminate()
        valkey.wait(10)
        shutil.rmtree(folder)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure state calls against the floors.")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=4, help="of load in each round")
    return parser.parse_args()


class Bench:
    """The product, as it is served and under WSGI, and the floors; all by granian."""

    def __init__(self, folder: Path, socket: Path, seconds: int, valkey_pid: int) -> None:
        self.folder, self.seconds, self.valkey_pid = folder, seconds, valkey_pid
        environ = {
            **ENVIRONMENT,
            "DATA_DIR": str(folder),
            "REDIS_URL": f"unix://{socket}",
            "DATABASE_URL": f"sqlite:///{folder / 'db.sqlite3'}",
            "STATE_MAX_REQUESTS_PER_SECOND": "1000000",  # counted, and never reached
        }
        self.credentials = _create_connector(environ)
        self.fleet = folder / "fleet"
        self.fleet.write_text(_manage(environ, "shell", "--no-imports", "-c", CREATE_FLEET))
        self.product = _granian("config.asgi", environ, folder / "log", GRANIAN_OPTIONS)
        self.wsgi = _granian("config.wsgi", environ, folder / "wsgi.log", WSGI)
        self.bare = _granian("benchmarks.bare", environ, folder / "bare.log", WSGI)
        self.floor = _granian("benchmarks.empty", environ, folder / "floor.log", WSGI)

    def state(self, server: Server, method: str, *, close: bool, fleet: bool = False) -> Cost:
        """Send pre-signed requests; return what they cost."""
        requests = self.folder / "requests"
        count = MOST_PER_SECOND * self.seconds
        subprocess.run(
            [
                *(sys.executable, str(HERE / "presign.py"), server.url, *self.credentials),
                *(method, str(count), str(VALUE_BYTES), str(KEYS), str(requests)),
                *(["--close"] if close else []),
                *(["--fleet", str(self.fleet)] if fleet else []),
            ],
            check=True,
            stderr=subprocess.DEVNULL,
        )
        return self._load(server, "-s", str(HERE / "replay.lua"), "--", str(requests))

    def empty(self, *, close: bool) -> Cost:
        """Send requests that are answered by an empty 204; return what they cost."""
        return self._load(self.floor, *(["-H", "Connection: close"] if close else []))

    def _load(self, server: Server, *arguments: str) -> Cost:
        script = arguments.index("--") if "--" in arguments else len(arguments)
        before = cpu_seconds(server.process.pid), cpu_seconds(self.valkey_pid, group=False)
        output = subprocess.run(
            [
                *("wrk", "-t1", f"-c{CONNECTIONS}", f"-d{self.seconds}s", *arguments[:script]),
                *(server.url, *arguments[script:]),
            ],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        after = cpu_seconds(server.process.pid), cpu_seconds(self.valkey_pid, group=False)
        thousands = _requests(output) / 1000
        return Cost(
            server=(after[0] - before[0]) / thousands,
            valkey=(after[1] - before[1]) / thousands,
            per_second=1000 * thousands / self.seconds,
        )


def _manage(environ: dict[str, str], *arguments: str) -> str:
    command = [sys.executable, "manage.py", *arguments]
    return subprocess.run(
        command, cwd=ROOT, env={**os.environ, **environ}, check=True, capture_output=True
    ).stdout.decode()


def _create_connector(environ: dict[str, str]) -> list[str]:
    _manage(environ, "migrate", "-v", "0")
    return list(json.loads(_manage(environ, "create_connector", "bench", "--json")).values())


def _granian(module: str, environ: dict[str, str], log: Path, options: Sequence[str]) -> Server:
    port = free_port()
    command = [sys.executable, "-m", "granian", f"{module}:application", *options]
    command += ["--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--log-level", "warning", "--workers-kill-timeout", "2"]
    return Server(command, port, environ, log)


def _requests(output: str) -> int:
    for line in output.splitlines():
        if line.startswith("RESULT "):
            return int(json.loads(line.removeprefix("RESULT "))["ok2xx"])
    return next(int(line.split()[0]) for line in output.splitlines() if " requests in " in line)


def cpu_seconds(pid: int, *, group: bool = True) -> float:
    """Return user and system time of a process, or of the group that it leads."""
    total = 0
    for entry in Path("/proc").glob("[0-9]*/stat" if group else f"{pid}/stat"):
        try:
            fields = entry.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if not group or int(fields[2]) == pid:
            total += int(fields[11]) + int(fields[12])
    return total / TICKS


def _print_server(bench: Bench, rounds: int) -> None:
    cases: dict[str, Callable[[], Cost]] = {}
    for how, close in (("keep-alive", False), ("a connection each", True)):
        cases[f"empty 204, {how}"] = partial(bench.empty, close=close)
        for method in ("PUT", "GET"):
            for name, server in (("", bench.product), ("under WSGI, ", bench.wsgi)):
                cases[f"{method}, {name}{how}"] = partial(bench.state, server, method, close=close)
    for method in ("PUT", "GET"):
        cases[f"{method} of a fleet, keep-alive"] = partial(
            bench.state, bench.product, method, close=False, fleet=True
        )
    bare = "PUT under WSGI without index, limits and audit, keep-alive"
    cases[bare] = partial(bench.state, bench.bare, "PUT", close=False)
    for case in cases.values():  # warm-up, and for GET something to read
        case()
    costs: dict[str, list[Cost]] = {name: [] for name in cases}
    for _ in range(rounds):
        for name, case in cases.items():
            costs[name].append(case())
    _print_costs(costs, rounds)


def _print_costs(costs: dict[str, list[Cost]], rounds: int) -> None:
    print(f"\nCPU seconds per 1,000 requests, median of {rounds} (least to most); ratio to a floor")
    for name, each in costs.items():
        floor = _median(costs[f"empty 204, {name.rpartition(', ')[2]}"])
        median, spread = _median(each), sorted(cost.server for cost in each)
        print(
            f"  {name:58} {median:.3f}  ({spread[0]:.3f} to {spread[-1]:.3f})  "
            f"x {median / floor:5.1f}  Valkey {statistics.median(c.valkey for c in each):.3f}  "
            f"{statistics.median(c.per_second for c in each):6.0f} a second"
        )
    for method in ("PUT", "GET"):
        alone, wsgi = (_median(costs[f"{method}, {n}keep-alive"]) for n in ("", "under WSGI, "))
        fleet = _median(costs[f"{method} of a fleet, keep-alive"])
        print(f"  {method}: {alone / wsgi:.2f} of WSGI's; a fleet costs {fleet / alone:.2f} of one")


def _median(costs: list[Cost]) -> float:
    return statistics.median(cost.server for cost in costs)


if __name__ == "__main__":
    main()
