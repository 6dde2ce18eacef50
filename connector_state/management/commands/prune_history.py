"""`manage.py prune_history`."""

from typing import Any

from django.template.defaultfilters import pluralize

from common.progress import Progress
from common.visible import printable
from connector_state.management.base import StateCommand, operator_name
from connector_state.models import Connector
from connector_state.store.history import prune


class Command(StateCommand):
    help = (
        "Delete the earlier values of keys that were deleted, or have expired, STATE_KEEP_DAYS "
        "ago. Run it every night."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        connectors = list(Connector.objects.all())
        pruned = 0
        with Progress(self.stderr, len(connectors), every=1000) as progress:
            for number, connector in enumerate(connectors):
                for part in prune(str(connector.pk), operator_name()):
                    pruned += part
                    progress.update(number, f"{printable(connector.name)}: {pruned} keys in all")
        self.stdout.write(f"Forgot the earlier values of {pruned} key{pluralize(pruned)}.")
