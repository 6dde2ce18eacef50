"""`python -m benchmarks.memory`: by how much a worker grows in 250,000 requests (aim: 20 MB).

A first load warms it up: what it imports, and its caches. The others are of 10,000 connectors.
"""

from pathlib import Path

from benchmarks.load import Bench, bench, worker_of

REQUESTS = 250_000


def main() -> None:
    """Load the product until it has answered so many, and print how it grew."""
    with bench(seconds=10) as servers:
        _measure(servers)


def _measure(servers: Bench) -> None:
    worker = worker_of(servers.product)
    for method in ("PUT", "GET"):
        servers.state(servers.product, method, close=False, fleet=True)
    before, answered = _resident_megabytes(worker), 0.0
    while answered < REQUESTS:
        for method in ("PUT", "GET"):
            cost = servers.state(servers.product, method, close=False, fleet=True)
            answered += cost.per_second * servers.seconds
        grown = _resident_megabytes(worker) - before
        print(f"{answered:8.0f} requests: {before:.1f} MB, grown by {grown:+.1f}", flush=True)


def _resident_megabytes(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if "VmRSS" in line)) / 1024


if __name__ == "__main__":
    main()
