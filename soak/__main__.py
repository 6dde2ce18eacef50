"""Run the production layout under load and faults, and check what it kept. `make soak`"""

import argparse
import secrets
import signal
import sys
import time

from soak.run import run
from soak.sabotage import SABOTAGES
from soak.size import Size
from soak.stage import Stage
from tests.sidecar.binary import NoSidecar

USERS, CONNECTORS = 8, 6


def main() -> None:
    """Run it, print the report, and exit with 1 if anything was found."""
    options = _options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # and stop what was started
    print(f"seed {options.seed}, {options.seconds} s", flush=True)
    began = time.monotonic()
    try:
        stage = Stage(options.users, on_cluster=options.redis == "cluster")
    except NoSidecar as reason:
        sys.exit(f"soak: {reason}")
    print(f"started after {time.monotonic() - began:.0f} s", flush=True)
    try:
        size = Size(options.connectors, options.users)
        done = run(stage, size, options.seed, options.seconds, options.only)
        if options.sabotage:
            SABOTAGES[options.sabotage](stage.layout, done.journal)
        found = done.findings()
    finally:
        leftovers = stage.stop()
    for finding in leftovers:
        print(f"FOUND leftovers: {finding}")
    print(f"ended after {time.monotonic() - began:.0f} s")
    sys.exit(1 if found or leftovers else 0)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make soak", description=__doc__)
    parser.add_argument("--seconds", type=int, default=600, help="of load and faults")
    parser.add_argument("--seed", default=secrets.token_hex(4), help="of the order of faults")
    parser.add_argument("--connectors", type=int, default=CONNECTORS)
    parser.add_argument("--users", type=int, default=USERS, help="who chat at the same time")
    parser.add_argument("--redis", choices=("sentinels", "cluster"), default="sentinels")
    parser.add_argument("--only", default="", metavar="REGEX", help="of the faults, those named so")
    parser.add_argument(
        "--sabotage", choices=SABOTAGES, help="a fault put in on purpose: the run must find it"
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
