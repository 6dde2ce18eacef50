"""A minute of soak: nothing is found after faults, and each fault put in on purpose is."""

import json
import subprocess
import sys

import pytest

from tests.servers import ROOT
from tests.sidecar import binary

pytestmark = pytest.mark.xdist_group("soak")  # one layout is enough

SECONDS_MAX = 900  # it takes 90 where nothing waits


@pytest.fixture(scope="module")
def findings() -> dict[str, list[str]]:
    """What the checks find after faults, and after each sabotage, in a process with its Django."""
    try:
        binary.daprd()
    except binary.NoSidecar as reason:
        pytest.skip(str(reason))
    told = subprocess.run(
        [sys.executable, "-m", "soak.brief"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
        check=False,
    )
    print(told.stdout)
    assert told.returncode == 0, told.stderr[-3000:]
    return json.loads(told.stdout.splitlines()[-1])


def test_soak__finds_nothing_after_a_minute_of_faults(findings):
    assert findings["nothing"] == []


@pytest.mark.parametrize(
    ("fault", "found"),
    [
        ("dropped-write", "losses: acknowledged, and lost: "),
        ("forgotten-nonce", "losses: acknowledged, and lost: the nonce of "),
        ("doubled-turn", "talks: "),
        ("endless-lease", "leases: "),
        ("missing-index-entry", "is stored, and not in the index"),
    ],
)
def test_soak__finds_a_fault_put_in_on_purpose(findings, fault, found):
    assert any(found in finding for finding in findings[fault]), findings[fault]
