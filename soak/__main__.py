"""Run the production layout under load and faults, and check what it kept. `make soak`"""

import argparse
import os
import secrets
import sys
import threading
import time

from config.env import Environment

USERS, CONNECTORS = 8, 6


def main() -> None:
    """Run it, print the report, and exit with 1 if anything was found."""
    options = _options()
    print(f"seed {options.seed}, {options.seconds} s", flush=True)
    for name in Environment.model_fields:  # the developer's own must not take part
        os.environ.pop(name.upper(), None)
    from soak.stage import Stage

    began = time.monotonic()
    stage = Stage()
    print(f"started after {time.monotonic() - began:.0f} s", flush=True)
    try:
        found = _run(stage, options)
    finally:
        leftovers = stage.stop()
    print(f"ended after {time.monotonic() - began:.0f} s")
    for finding in leftovers:
        print(f"FOUND leftovers: {finding}")
    sys.exit(1 if found or leftovers else 0)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make soak", description=__doc__)
    parser.add_argument("--seconds", type=int, default=600, help="of load and faults")
    parser.add_argument("--seed", default=secrets.token_hex(4), help="of the order of all faults")
    parser.add_argument("--connectors", type=int, default=CONNECTORS)
    parser.add_argument("--users", type=int, default=USERS, help="who chat at the same time")
    parser.add_argument("--sabotage", help="a fault put in on purpose; the run must find it")
    return parser.parse_args()


def _run(stage, options: argparse.Namespace) -> bool:
    """Do load and faults for so long; print the report; return whether anything was found."""
    from soak.chaos import Chaos
    from soak.journal import Journal
    from soak.leftovers import Watch
    from soak.load import Load
    from soak.report import lines

    journal = Journal()
    watch = Watch(stage.layout)
    load = Load(stage.layout, journal, options.connectors, options.users, options.seed)
    chaos = Chaos(stage.layout, journal, options.seed)
    stopping = threading.Event()
    thread = threading.Thread(target=chaos.run, args=[stopping])
    thread.start()
    time.sleep(options.seconds)
    stopping.set()
    thread.join()
    stage.settle(load, journal)
    watch.stop()
    if options.sabotage:
        stage.sabotage(options.sabotage, journal)
    findings = [*stage.check(journal), *watch.findings()]
    print("\n".join(lines(journal, chaos, watch, findings)), flush=True)
    if findings:
        print(f"The servers' logs:\n{stage.log_tail()}")
    return bool(findings)


if __name__ == "__main__":
    main()
