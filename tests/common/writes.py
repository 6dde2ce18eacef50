"""What tests of transactions write and read."""

import threading

from django.db import connection

from chat.models import ChatUser


def add(user_id: str) -> str:
    ChatUser.objects.create(user_id=user_id)
    return f"{user_id} by {threading.get_ident()}"


def stored() -> set[str]:
    return set(ChatUser.objects.values_list("user_id", flat=True))


def sync_setting() -> object:
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SHOW synchronous_commit")
        else:
            cursor.execute("PRAGMA synchronous")
        return {1: "off", 2: "on"}.get((value := cursor.fetchone()[0]), value)
