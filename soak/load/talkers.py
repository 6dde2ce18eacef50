"""Users of the chat under load: each says one thing after the other, until it is answered."""

import random
import threading
import time

import requests

from soak.journal import Journal, Talk
from soak.layout.model import TASK
from soak.load.http import Session, code_of
from tests.chat.calls import token

ANSWER_SECONDS = 30
TURNS_OF_A_TALK = 40  # a document keeps 200 messages
PAUSE_SECONDS = (0.05, 0.5)
AGAIN_SECONDS_MAX = 2.0
DRAIN_SECONDS = 60
REPEATED = {
    *((409, "turn_in_progress"), (429, "too_many_turns"), (429, "rate_limited")),
    *((503, "busy"), (503, "database_unavailable"), (502, "model_failed"), (504, "model_timeout")),
}


class Talker:
    """A user who chats, one message after the other."""

    def __init__(self, journal: Journal, url: str, certificate: str, name: str, seed: str) -> None:
        self._journal, self._user = journal, name
        self._random = random.Random(seed)
        self._session = Session(journal, certificate)
        bearer = token(sub=name, exp=int(time.time()) + 86_400)
        self._session.headers["Authorization"] = f"Bearer {bearer}"
        self._url = f"{url}/api/{name}/chat"
        self._give_up_at = float("inf")

    def run(self, stopping: threading.Event) -> None:
        """Talk until told to stop; the last message is answered before that."""
        try:
            while not stopping.is_set():
                self._say(self._talk())
                stopping.wait(self._random.uniform(*PAUSE_SECONDS))
        except Exception as error:
            self._journal.found(f"{self._user}: {error!r}")
        self._session.close()

    def _talk(self) -> Talk:
        own = [talk for talk in self._journal.talks if talk.user == self._user]
        if own and len(own[-1].texts) < TURNS_OF_A_TALK:
            return own[-1]
        talk = Talk(self._user, f"c{len(own)}")
        with self._journal.lock:
            self._journal.talks.append(talk)
        return talk

    def _say(self, talk: Talk) -> None:
        text = f"{self._random.choice(['', TASK])}{talk.conversation} {len(talk.texts)}"
        body = {"message": text, "conversation_id": talk.conversation}
        headers = {"Idempotency-Key": text}
        talk.texts.append(text)
        while True:
            try:
                answer = self._session.post(
                    self._url, json=body, headers=headers, timeout=ANSWER_SECONDS
                )
            except requests.RequestException:
                self._pause(text)
                continue
            if answer.status_code == 200:
                break
            if (answer.status_code, code_of(answer)) not in REPEATED:
                self._journal.found(f"{self._user} got {answer.status_code}: {answer.text[:200]}")
            self._pause(text)
        if answer.json()["reply"] != f"re: {text}":
            self._journal.found(f"{self._user} said {text!r}, and was told {answer.text[:200]}")
        self._journal.count("turns")
        if "X-Chat-Degraded" in answer.headers:
            self._journal.count("turns answered in degraded mode")

    def _pause(self, text: str) -> None:
        if time.monotonic() > self._give_up_at:
            raise TimeoutError(f"{text!r} was not answered")
        time.sleep(self._random.uniform(0.1, AGAIN_SECONDS_MAX))

    def drain(self) -> None:
        """Give up what is not answered in a minute from now."""
        self._give_up_at = time.monotonic() + DRAIN_SECONDS
