"""Users of the chat under load: each says one thing after the other, until it is answered."""

import random
import threading
import time
from itertools import count

import requests

from soak.journal import Journal, Talk
from soak.layout.model import TASK
from soak.load.http import Session, code_of
from tests.chat.calls import token

ANSWER_SECONDS = 60
TURNS_OF_A_TALK = 40  # a document keeps 200 messages
MESSAGES_A_SECOND = 20  # of all together
AGAIN_SECONDS = 2.0  # at most, and twice as long after each time
AGAIN_SECONDS_MAX = 16.0
REPEATED = {
    *((409, "turn_in_progress"), (429, "too_many_turns"), (429, "rate_limited")),
    *((503, "busy"), (503, "database_unavailable"), (502, "model_failed"), (504, "model_timeout")),
}


class Talker:
    """A user who chats, one message after the other."""

    def __init__(
        self, journal: Journal, url: str, certificate: str, name: str, seed: str, among: int
    ) -> None:
        """Make one of so many (`among`)."""
        self._journal, self._user = journal, name
        self._pauses_a_second = MESSAGES_A_SECOND / among
        self._talks: list[Talk] = []
        self._random = random.Random(seed)
        self._session = Session(journal, certificate)
        bearer = token(sub=name, exp=int(time.time()) + 86_400)
        self._session.headers["Authorization"] = f"Bearer {bearer}"
        self._url = f"{url}/api/{name}/chat"

    def run(self, stopping: threading.Event) -> None:
        """Talk until told to stop; the last message is answered before that."""
        try:
            while not stopping.wait(self._random.expovariate(self._pauses_a_second)):
                self._say(self._talk())
        except Exception as error:
            self._journal.found(f"{self._user}: {error!r}")
        self._session.close()

    def _talk(self) -> Talk:
        if self._talks and len(self._talks[-1].texts) < TURNS_OF_A_TALK:
            return self._talks[-1]
        talk = Talk(self._user, f"c{len(self._talks)}")
        self._talks.append(talk)
        with self._journal.lock:
            self._journal.talks.append(talk)
        return talk

    def _say(self, talk: Talk) -> None:
        text = f"{self._random.choice(['', TASK])}{talk.conversation} {len(talk.texts)}"
        body = {"message": text, "conversation_id": talk.conversation}
        headers = {"Idempotency-Key": text}
        talk.texts.append(text)
        for attempt in count():
            try:
                answer = self._session.post(
                    self._url, json=body, headers=headers, timeout=ANSWER_SECONDS
                )
            except requests.RequestException:
                self._pause(text, attempt)
                continue
            if answer.status_code == 200:
                break
            if (answer.status_code, code_of(answer)) not in REPEATED:
                self._journal.found(f"{self._user} got {answer.status_code}: {answer.text[:200]}")
            self._pause(text, attempt)
        if answer.json()["reply"] != f"re: {text}":
            self._journal.found(f"{self._user} said {text!r}, and was told {answer.text[:200]}")
        self._journal.count("turns")
        if "X-Chat-Degraded" in answer.headers:
            self._journal.count("turns answered in degraded mode")

    def _pause(self, text: str, attempt: int) -> None:
        if time.monotonic() > self._journal.give_up_at:
            raise TimeoutError(f"{text!r} was not answered")
        most = min(AGAIN_SECONDS * 2**attempt, AGAIN_SECONDS_MAX)
        time.sleep(self._random.uniform(0.1, most))
