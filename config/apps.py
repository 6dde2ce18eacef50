"""The app of the project, for what belongs to neither app."""

from django.apps import AppConfig
from django.contrib.auth.signals import user_login_failed
from django.core.cache import close_caches
from django.core.checks import Tags, register
from django.core.signals import request_finished, request_started
from django.db import close_old_connections, reset_queries
from django.db.backends.signals import connection_created

from common.database.limits import set_up
from config.env.database import check_encoding
from config.env.deploy_checks import check_hosts, check_proxies
from config.errors.refused import count_failed_login


class StatekeepConfig(AppConfig):
    """Signals of the project as a whole."""

    name = "config"
    verbose_name = "Statekeep"

    def ready(self) -> None:
        user_login_failed.connect(count_failed_login)  # after axes, which INSTALLED_APPS has first
        connection_created.connect(set_up)
        for check in (check_hosts, check_proxies):
            register(check, Tags.security, deploy=True)
        register(check_encoding, Tags.database)  # `migrate` runs it
        # Django does these for each request, which costs a tenth of a state call, and for nothing:
        request_started.disconnect(reset_queries)  # queries are logged only with DEBUG
        request_finished.disconnect(close_caches)  # Redis connections are kept
        request_finished.disconnect(close_old_connections)  # the next request looks at their age
