"""Copies of documents that can't be read."""

import base64
import hashlib

from django.db import models
from django.utils import timezone

from chat.models.keyed import Keyed, KeyedRows


def digest_of(raw: bytes) -> str:
    """Return the digest by which copies of one conversation are told apart: SHA-256, as hex."""
    return hashlib.sha256(raw).hexdigest()


class Quarantine(Keyed):
    """The bytes of a document that is no conversation, as they were found."""

    digest = models.CharField(max_length=64)
    content_base64 = models.TextField()
    reason = models.CharField(max_length=255)
    found_at = models.DateTimeField("found", default=timezone.now)
    resolved_at = models.DateTimeField("resolved", null=True)

    objects = KeyedRows["Quarantine"].as_manager()

    class Meta:
        ordering = ("-found_at", "-id")
        constraints = [
            models.UniqueConstraint(
                fields=["user_id", "conversation_id", "digest"], name="chat_one_copy_per_digest"
            )
        ]
        default_permissions = ()  # the permissions on conversations hold
        verbose_name = "quarantined state"

    def __str__(self) -> str:
        return f"{self.user_id}:{self.conversation_id} {self.digest[:12]}"

    @property
    def raw(self) -> bytes:
        return base64.b64decode(self.content_base64)
