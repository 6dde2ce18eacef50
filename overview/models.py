"""The table of daily figures, for the charts, and what an alert has told."""

from datetime import datetime

from django.db import models
from django.utils import timezone


class DailyFigures(models.Model):
    """How much there was on a day (UTC) when `record_daily_figures` last ran. NULL is unknown."""

    date = models.DateField(primary_key=True)
    connectors = models.PositiveIntegerField()
    keys = models.PositiveBigIntegerField(null=True)
    bytes = models.PositiveBigIntegerField(null=True)
    conversations = models.PositiveIntegerField()
    messages = models.PositiveBigIntegerField()
    turns = models.PositiveIntegerField()

    class Meta:
        ordering = ("date",)
        default_permissions = ()

    def __str__(self) -> str:
        return self.date.isoformat()


class AlertState(models.Model):
    """What the webhook of alerts was told last: one row, and who is telling it more right now."""

    told = models.JSONField(default=dict)  # the states that are not ok, by check
    number = models.PositiveBigIntegerField(default=0)  # of claims
    claimed_until = models.DateTimeField(default=timezone.now)

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return str(self.told)

    def claim(self, until: datetime) -> bool:
        """Claim the row as it was read; return False if another process has it, or changed it."""
        rows = AlertState.objects.filter(
            pk=self.pk, number=self.number, claimed_until__lte=timezone.now()
        )
        self.number += 1
        return bool(rows.update(number=self.number, claimed_until=until))

    def release(self, told: dict[str, str]) -> None:
        """Note what was told, and let go, unless the claim had ended and another one began."""
        rows = AlertState.objects.filter(pk=self.pk, number=self.number)
        rows.update(told=told, number=self.number + 1, claimed_until=timezone.now())
