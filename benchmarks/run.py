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
import shutil
import statistics
from collections.abc import Callable
from functools import partial

from benchmarks.load import Bench, Cost, bench


def main() -> None:
    """Run all rounds and print the table."""
    options = _options()
    if not shutil.which("wrk"):
        raise SystemExit("make bench needs wrk: apt-get install wrk")
    with bench(options.seconds) as servers:
        _print_server(servers, options.rounds)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure state calls against the floors.")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=4, help="of load in each round")
    return parser.parse_args()


def _print_server(servers: Bench, rounds: int) -> None:
    cases: dict[str, Callable[[], Cost]] = {}
    for how, close in (("keep-alive", False), ("a connection each", True)):
        cases[f"empty 204, {how}"] = partial(servers.empty, close=close)
        for method in ("PUT", "GET"):
            for name, server in (("", servers.product), ("under WSGI, ", servers.wsgi)):
                cases[f"{method}, {name}{how}"] = partial(
                    servers.state, server, method, close=close
                )
    for method in ("PUT", "GET"):
        cases[f"{method} of a fleet, keep-alive"] = partial(
            servers.state, servers.product, method, close=False, fleet=True
        )
    bare = "PUT under WSGI without index, limits and audit, keep-alive"
    cases[bare] = partial(servers.state, servers.bare, "PUT", close=False)
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
