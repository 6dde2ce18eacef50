"""The app of the overview, and the app of admin with the overview as its start page."""

from django.apps import AppConfig
from django.contrib.admin.apps import AdminConfig


class OverviewConfig(AppConfig):
    """The overview: health, counts and growth of both apps."""

    name = "overview"
    verbose_name = "Overview"
    default = True


class OverviewAdminConfig(AdminConfig):
    """Django's admin, with OverviewSite as its default site."""

    default = False
    default_site = "overview.site.OverviewSite"
