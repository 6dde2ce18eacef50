"""A minute of faults by a fixed seed, and then each sabotage. Print as JSON what the checks find.

python -m soak.brief
"""

import json
import time

from soak.journal import Journal
from soak.run import run
from soak.sabotage import SABOTAGES
from soak.size import Size
from soak.stage import Stage

SEED, SECONDS = "brief", 40
ONLY = "^(kill|freeze|cut|drop|step)"  # an upgrade takes a minute where others compute
SIZE = Size(connectors=3, users=4)  # as other tests want the machine too
LOAD_SECONDS = 2


def main() -> None:
    """Do both on one layout; the last line printed is the JSON."""
    stage = Stage()
    try:
        under_faults = run(stage, SIZE, SEED, SECONDS, ONLY)
        found = {"nothing": under_faults.findings(), **_sabotaged(stage)}
    finally:
        left = stage.stop()
    found["nothing"] += left
    print(json.dumps(found))


def _sabotaged(stage: Stage) -> dict[str, list[str]]:
    """Return what the checks find after each sabotage of a short load, and didn't before it."""
    journal = Journal()
    load = stage.load(journal, Size(connectors=1, users=1), "sabotage")
    time.sleep(LOAD_SECONDS)
    stage.settle(load, journal)
    known = set(stage.check(journal))
    found = {"no sabotage": sorted(known)}
    for name, sabotage in SABOTAGES.items():
        sabotage(stage.layout, journal)
        now = set(stage.check(journal))
        found[name] = sorted(now - known)
        known |= now
    return found


if __name__ == "__main__":
    main()
