"""The load's way to the service: every answer is noted, and a 5xx must be one of the documented."""

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import requests
from requests.adapters import HTTPAdapter

from soak.journal import Journal
from tests.servers import ROOT

SERVER_ERROR = 500
ERRORS = ROOT / "docs/errors.md"


@cache
def documented(page: Path) -> set[tuple[int, str]]:
    """Return the statuses from 502 on, with the codes, in a page's tables of errors."""
    found = set()
    for row in re.findall(r"^\| ([0-9, ]+) \| (.*)$", page.read_text(), re.MULTILINE):
        for status in map(int, row[0].split(",")):
            if status > SERVER_ERROR:  # a 500 is documented, and always a bug
                found |= {(status, code) for code in re.findall(r"`([a-z_]+)`", row[1])}
    return found


class Session(requests.Session):
    """A session that notes every answer in the journal."""

    def __init__(self, journal: Journal, certificate: str) -> None:
        super().__init__()
        self._journal = journal
        self._documented = documented(ERRORS)
        self.verify = certificate
        self.trust_env = False
        self.mount("https://", HTTPAdapter(max_retries=0))

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        """Send it, and note its answer."""
        try:
            answer = super().send(request, **options)
        except requests.RequestException as error:
            self._note(f"no answer: {type(error).__name__}")
            raise
        code = code_of(answer)
        self._note(f"{answer.status_code} {code}".strip())
        if answer.ok:
            what = "chat" if request.path_url.endswith("/chat") else "state"
            self._journal.seconds[what].append(answer.elapsed.total_seconds())
        is_documented = (answer.status_code, code) in self._documented
        if answer.status_code >= SERVER_ERROR and not is_documented:
            asked = f"{request.method} {request.path_url}"
            self._journal.found(f"undocumented {answer.status_code}: {asked}: {answer.text[:200]}")
        return answer

    def _note(self, answer: str) -> None:
        with self._journal.lock:
            self._journal.answers[answer] += 1


def code_of(answer: requests.Response) -> str:
    """Return the code of an error, "" for anything else."""
    if answer.ok:
        return ""
    try:
        code = json.loads(answer.content)["code"]
    except (ValueError, KeyError, TypeError):
        return ""
    return str(code)
