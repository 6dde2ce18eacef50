"""Django's page of users, so that deleting one erases nothing from History."""

from typing import Any

from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.models import User
from django.http import HttpRequest

from common.visible import visible_name

WHY = "History has entries by “{}”, which would go too: untick “Active” on the user's page instead"


class KeptUserAdmin(UserAdmin):
    """Django's pages of users. Those who did something are deactivated, and not deleted.

    Django's LogEntry is deleted with its user, and with it what they did to connectors and
    conversations.
    """

    def get_deleted_objects(
        self, objs: Any, request: HttpRequest
    ) -> tuple[list[Any], dict[str, int], set[str], list[Any]]:
        """Return what Django asks about, with those users as protected."""
        listed, counts, needed, protected = super().get_deleted_objects(objs, request)
        acted = LogEntry.objects.filter(user__in=[user.pk for user in objs])
        names = acted.order_by("user__username").values_list("user__username", flat=True).distinct()
        return listed, counts, needed, [*protected, *(WHY.format(visible_name(n)) for n in names)]


admin.site.unregister(User)
admin.site.register(User, KeptUserAdmin)
