"""`make bench`: what a state call costs, as ratios to floors measured in the same run.

Method: one granian worker with four blocking threads, a Valkey of its own without a disk (its
fsync is the disk's cost, not ours), values of 1.5 KB, a thousand keys, 16 connections. Every
request is signed beforehand with a nonce of its own and sent once by wrk, which fails the run on
any answer that is not 2xx. The figure is CPU seconds of the server's processes per 1,000 requests,
from /proc; requests a second drift with whatever else the machine does. Rounds are interleaved
with the floor, and the medians are compared.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from tests.environment import ENVIRONMENT
from tests.servers import ROOT, Server, free_port, start_valkey

HERE = Path(__file__).parent
VALUE_BYTES, KEYS, CONNECTIONS = 1500, 1000, 16
MOST_PER_SECOND = 6000
TICKS = os.sysconf("SC_CLK_TCK")


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
        bench = Bench(folder, socket, options.seconds)
        servers += [bench.product, bench.bare, bench.floor]
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
    """The product and the floor, both served by granian."""

    def __init__(self, folder: Path, socket: Path, seconds: int) -> None:
        self.folder, self.seconds = folder, seconds
        environ = {
            **ENVIRONMENT,
            "DATA_DIR": str(folder),
            "REDIS_URL": f"unix://{socket}",
            "DATABASE_URL": f"sqlite:///{folder / 'db.sqlite3'}",
            "STATE_MAX_REQUESTS_PER_SECOND": "1000000",  # counted, and never reached
        }
        self.credentials = _create_connector(environ)
        self.product = _granian("config.wsgi:application", environ, folder / "log")
        self.bare = _granian("benchmarks.bare:application", environ, folder / "bare.log")
        self.floor = _granian("benchmarks.empty:application", environ, folder / "floor.log")

    def state(self, server: Server, method: str, *, close: bool) -> float:
        """Send pre-signed requests; return CPU seconds of the server per 1,000."""
        requests = self.folder / "requests"
        subprocess.run(
            [
                *(sys.executable, str(HERE / "presign.py"), server.url, *self.credentials),
                *(
                    method,
                    str(MOST_PER_SECOND * self.seconds),
                    str(VALUE_BYTES),
                    str(KEYS),
                    str(requests),
                ),
                *(["--close"] if close else []),
            ],
            check=True,
            stderr=subprocess.DEVNULL,
        )
        return self._load(server, "-s", str(HERE / "replay.lua"), "--", str(requests))

    def empty(self, *, close: bool) -> float:
        """Return CPU seconds per 1,000 empty 204s."""
        return self._load(self.floor, *(["-H", "Connection: close"] if close else []))

    def _load(self, server: Server, *arguments: str) -> float:
        script = arguments.index("--") if "--" in arguments else len(arguments)
        before = cpu_seconds(server)
        output = subprocess.run(
            [
                *("wrk", "-t1", f"-c{CONNECTIONS}", f"-d{self.seconds}s", *arguments[:script]),
                *(server.url, *arguments[script:]),
            ],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        return 1000 * (cpu_seconds(server) - before) / _requests(output)


def _create_connector(environ: dict[str, str]) -> list[str]:
    def manage(*arguments: str) -> str:
        command = [sys.executable, "manage.py", *arguments]
        return subprocess.run(
            command, cwd=ROOT, env={**os.environ, **environ}, check=True, capture_output=True
        ).stdout.decode()

    manage("migrate", "-v", "0")
    return list(json.loads(manage("create_connector", "bench", "--json")).values())


def _granian(target: str, environ: dict[str, str], log: Path) -> Server:
    port = free_port()
    command = [sys.executable, "-m", "granian", target, "--interface", "wsgi", "--http", "1"]
    command += ["--no-ws", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--blocking-threads", "4", "--log-level", "warning"]
    return Server([*command, "--workers-kill-timeout", "2"], port, environ, log)


def _requests(output: str) -> int:
    for line in output.splitlines():
        if line.startswith("RESULT "):
            return int(json.loads(line.removeprefix("RESULT "))["ok2xx"])
    return next(int(line.split()[0]) for line in output.splitlines() if " requests in " in line)


def cpu_seconds(server: Server) -> float:
    """User and system time of the server's process group."""
    total = 0
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[2]) == server.process.pid:
            total += int(fields[11]) + int(fields[12])
    return total / TICKS


def _print_server(bench: Bench, rounds: int) -> None:
    cases: dict[str, Callable[[], float]] = {}
    for how, close in (("keep-alive", False), ("a connection each", True)):
        cases[f"empty 204, {how}"] = partial(bench.empty, close=close)
        for method in ("PUT", "GET"):
            cases[f"{method}, {how}"] = partial(bench.state, bench.product, method, close=close)
    bare = "PUT without index, limits and audit, keep-alive"
    cases[bare] = partial(bench.state, bench.bare, "PUT", close=False)
    for case in cases.values():  # warm-up, and for GET something to read
        case()
    figures: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(rounds):
        for name, case in cases.items():
            figures[name].append(case())
    print(f"\nServer CPU seconds per 1,000 requests, median of {rounds}; ratio to an empty 204")
    for name, values in figures.items():
        floor = statistics.median(figures[f"empty 204, {name.rpartition(', ')[2]}"])
        median = statistics.median(values)
        spread = f"{min(values):.3f} to {max(values):.3f}"
        print(f"  {name:48} {median:.3f}  ({spread})  x {median / floor:5.1f}")
    share = statistics.median(figures["PUT, keep-alive"]) / statistics.median(figures[bare])
    print(f"  index, limits and audit cost the server {100 * (share - 1):+.0f} % of a PUT")


if __name__ == "__main__":
    main()
