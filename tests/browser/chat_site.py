"""A server of the chat page with users of its own, and what tests do with it."""

import json
from pathlib import Path

from redis import Redis

from tests import servers
from tests.browser.chat_page import PASSWORD
from tests.chat.api.talking_model import TalkingModel
from tests.chat.calls import User

# In one process: each costs the start of Django. Printed are the refresh tokens.
PREPARE = f"""
import json
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import User
from django.core.management import call_command
from chat.api.token_views import refresh_token
from chat.models import Conversation
call_command("migrate", verbosity=0)
password = make_password({PASSWORD!r})
names = ["many", *(f"user{{n}}" for n in range(100))]
users = [User(username=name, password=password) for name in names]
User.objects.bulk_create(users)
Conversation.objects.bulk_create([
    Conversation(user_id="many", conversation_id=str(n), id_is_integer=False, title=f"title {{n}}")
    for n in range(260)
])
print(json.dumps({{user.username: refresh_token(user) for user in users}}))
"""


class Site:
    """A server with its stores, and users: `sessions` has the refresh token of each."""

    def __init__(self, folder: Path, model: TalkingModel) -> None:
        self.folder, self.socket = folder, folder / "s"
        environ = {
            "DATA_DIR": str(folder),
            "REDIS_URL": f"unix://{self.socket}",
            "DATABASE_URL": f"sqlite:///{folder / 'db.sqlite3'}",
            "OPENAI_BASE_URL": model.url,
            "OPENAI_API_KEY": "key",
            "CHAT_MAX_TURNS_PER_PROCESS": "6",
            "CHAT_STORE_PAUSE_SECONDS": "0.1",
        }
        self.start_valkey()
        output = servers.manage(environ, "shell", "-v", "0", "-c", PREPARE)
        self.sessions = json.loads(output.splitlines()[-1])  # after what migrations say
        self.server = servers.granian(environ, folder / "log", workers=1, threads=12)

    def start_valkey(self) -> None:
        arguments = ("--port", "0", "--unixsocket", str(self.socket), "--appendonly", "yes")
        self.valkey = servers.start_valkey(self.folder / "valkey", *arguments)

    def stop_valkey(self) -> None:
        self.valkey.terminate()
        self.valkey.wait(10)


def begin(tab, model: TalkingModel, text: str) -> None:
    """Begin a conversation, to its first reply."""
    tab.button("New").click()
    converse(tab, model, text)


def converse(tab, model: TalkingModel, text: str) -> None:
    """Say it, to the whole reply."""
    tab.say(text)
    asked = model.asked()
    asked.say(f"reply to {text}")
    asked.end()
    tab.replies(f"reply to {text}")


def by_api(site, user: str) -> User:
    return User(site.server, user)


def conversations(site, user: str) -> list[dict]:
    api = by_api(site, user)
    return api.session.get(f"{api.url}/conversations", timeout=20).json()["conversations"]


def keep(site, user: str, conversation: str, messages: int) -> None:
    """Put a conversation into the store, with a message a minute."""
    entries = [
        {
            "role": ("user", "assistant")[n % 2],
            "content": f"message {n}",
            "timestamp": f"2026-01-01T{n // 60:02}:{n % 60:02}:00Z",
        }
        for n in range(messages)
    ]
    state = {
        "conversation_id": conversation,
        "user_id": user,
        "messages": entries,
        "created_at": entries[0]["timestamp"],
        "updated_at": entries[-1]["timestamp"],
    }
    with Redis(unix_socket_path=str(site.socket)) as redis:
        redis.set(f"chat:{user}:{conversation}", json.dumps(state))
