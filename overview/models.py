"""The table of daily figures, for the charts."""

from django.db import models


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
