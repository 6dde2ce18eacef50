"""Refresh tokens that ended before their time."""

from datetime import datetime

from django.db import models
from django.utils import timezone


class EndedSession(models.Model):
    """A log-out: the id (`jti`) of the refresh token that it ended, until that would have expired.

    The token itself is not kept, and can't be made of its id.
    """

    token_id = models.CharField(max_length=255, primary_key=True)
    expires_at = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return self.token_id

    @classmethod
    def end(cls, token_id: str, expires_at: datetime) -> None:
        """Enter a token that ends now, and forget those that have expired since."""
        cls.objects.filter(expires_at__lt=timezone.now()).delete()
        cls.objects.get_or_create(token_id=token_id, defaults={"expires_at": expires_at})
