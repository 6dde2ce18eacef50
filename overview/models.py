"""The figures of each day."""

from django.db import models


class DailyFigures(models.Model):
    """What there was on a day (UTC) when `record_daily_figures` ran last. NULL: not known."""

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
