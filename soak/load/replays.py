"""Signed requests that are sent twice."""

from soak.journal import Journal, Probe
from soak.load.http import Session, code_of


def send(session: Session, url: str, probe: Probe) -> tuple[int, str]:
    """Send a signed request as it is; return its status (0: no answer) and the code."""
    headers = {"Authorization": probe.authorization}
    try:
        answer = session.put(url + probe.target, data=probe.body, headers=headers, timeout=10)
    except OSError:
        return 0, ""
    return answer.status_code, code_of(answer)


def judge_replay(journal: Journal, session: Session, url: str, probe: Probe) -> None:
    """Send a request a second time, which must be refused."""
    status, _ = send(session, url, probe)
    if status in (204, 412):
        journal.count("replays accepted")
        journal.lost(f"the nonce of {probe.target}: a replay was accepted", probe.at)
    elif status == 401:
        journal.count("replays refused")
