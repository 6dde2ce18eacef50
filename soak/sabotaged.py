"""Print as JSON what the checks find after each sabotage, on one layout without chaos.

python -m soak.sabotaged
"""

import json
import time

from soak.journal import Journal
from soak.sabotage import SABOTAGES
from soak.stage import Stage

LOAD_SECONDS = 2


def main() -> None:
    """Do nothing, and then each sabotage, to a load of its own."""
    stage = Stage()
    try:
        found = {name: findings(stage, name) for name in ("nothing", *SABOTAGES)}
    finally:
        left = stage.stop()
    found["nothing"] += left
    print(json.dumps(found))


def findings(stage: Stage, name: str) -> list[str]:
    """Return what the checks find after this sabotage of a short load."""
    journal = Journal()
    load = stage.load(journal, connectors=1, users=1, seed=name)
    time.sleep(LOAD_SECONDS)
    load.stop()
    if name in SABOTAGES:
        SABOTAGES[name](stage.layout, journal)
    return stage.check(journal)


if __name__ == "__main__":
    main()
