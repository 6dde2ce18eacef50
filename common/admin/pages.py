"""Pages of operators about one object in admin: who may open them, errors, history, messages.

Both apps' pages subclass AdminPage; those that ask before they act, ConfirmationPage.
"""

from typing import Any, ClassVar, TypeVar

from django.contrib import admin, messages
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import PermissionDenied
from django.db.models import Model
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import URLPattern, path, reverse
from django.views import View

from common.events.changes import subject_of
from common.events.models import Event

Response = TypeVar("Response", bound=HttpResponseBase)
Link = tuple[str, Any]  # a URL, and the text that leads there


class AdminPage(View):
    """A page at admin/APP/MODEL/PK/… for staff who have all of `permissions`.

    `object` is what the page is about. Stored data may be on the page, so no cache keeps it. When
    a handler raises one of `errors`, the answer is an error page, worded by `explain`. A page that
    only handles POST redirects a GET to `back_url`.
    """

    model: ClassVar[type[Model]]
    converter: ClassVar[str] = "int"
    permissions: ClassVar[tuple[str, ...]]
    title: ClassVar[str]
    template: ClassVar[str]
    errors: ClassVar[tuple[type[Exception], ...]] = ()

    object: Any

    @classmethod
    def at(cls, route: str, name: str) -> URLPattern:
        """Return the URL pattern of this page: `route` beneath the object's key."""
        view = admin.site.admin_view(cls.as_view())
        return path(f"<{cls.converter}:pk>/{route}", view, name=name)

    def dispatch(
        self, request: HttpRequest, *args: Any, pk: Any, **kwargs: Any
    ) -> HttpResponseBase:
        # Permissions come first: whoever lacks them does not learn which objects exist.
        if not request.user.has_perms(self.permissions):
            raise PermissionDenied
        self.object = get_object_or_404(self.model._default_manager, pk=pk)
        response: HttpResponseBase
        try:
            response = self.handle(request, *args, **kwargs)
        except self.errors as error:
            status, words = self.explain(error)
            response = self.refuse(words, status)
        response.headers["Cache-Control"] = "no-store"
        return response

    def handle(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Answer a request that is permitted; `object` is set."""
        return super().dispatch(request, *args, **kwargs)

    def get(self, request: HttpRequest) -> HttpResponse:
        # A browser comes to a page of POST alone by its back button, or after a new log-in.
        return redirect(self.back_url)

    def explain(self, error: Any) -> tuple[int, str]:
        """Return the HTTP status of one of `errors`, and what an operator is told."""
        raise NotImplementedError

    @property
    def object_label(self) -> str:
        return str(self.object)

    @property
    def object_url(self) -> str:
        opts = self.model._meta
        name = f"admin:{opts.app_label}_{opts.model_name}_change"
        return reverse(name, args=[self.object.pk])

    @property
    def list_url(self) -> str:
        opts = self.model._meta
        return reverse(f"admin:{opts.app_label}_{opts.model_name}_changelist")

    @property
    def back_url(self) -> str:
        """The page to go back to without doing anything."""
        return self.object_url

    @property
    def trail(self) -> list[Link]:
        """The breadcrumbs between the object's and this page's."""
        return []

    def render(
        self, context: dict[str, Any], template: str | None = None, status: int = 200
    ) -> HttpResponse:
        """Return the page, with `context` added to what all pages of admin need."""
        context = {
            **admin.site.each_context(self.request),
            "opts": self.model._meta,
            "object": self.object,
            "object_label": self.object_label,
            "change": self.request.path == self.object_url,  # ends the breadcrumbs at the object
            "trail": self.trail,
            "title": self.title,
            "here": self.title,
            "back_url": self.back_url,
            **context,
        }
        return render(self.request, template or self.template, context, status=status)

    def refuse(self, words: str, status: int) -> HttpResponse:
        return self.render({"words": words, "status": status}, "admin/error.html", status)

    def say(self, words: str) -> HttpResponse:
        """Return a page that has only a message, and a link back."""
        return self.render({"words": words}, "admin/message.html")

    def leave(self, words: str, to: str = "", level: int = messages.SUCCESS) -> HttpResponse:
        """Redirect to a URL (without one, the object's page), which shows a message.

        Never put stored content into `words`.
        """
        messages.add_message(self.request, level, words)
        return redirect(to or self.object_url)

    def record(self, message: str, kind: Event.Kind = Event.Kind.CHANGE) -> None:
        """Enter what the operator did into admin's history of the object. Never stored content."""
        log_action(self.request, self.object, message, kind=kind)


class ConfirmationPage(AdminPage):
    """Asks on GET whether to do something; the POST, which subclasses handle, does it.

    `question` returns the context of the template: for admin/confirmation.html itself, `words` that
    say what happens, and perhaps `items` (a list) and a `note`. A longer question is a template
    that extends it.
    """

    template = "admin/confirmation.html"
    button: ClassVar[str]  # a verb, and what it does that to

    def get(self, request: HttpRequest) -> HttpResponse:
        return self.render({"button": self.button, **self.question()})

    def question(self) -> dict[str, Any]:
        raise NotImplementedError


def log_action(
    request: HttpRequest,
    row: Model,
    message: str,
    action: int = CHANGE,
    kind: Event.Kind = Event.Kind.CHANGE,
) -> None:
    """Enter what an operator did to a row into admin's history, and into the events."""
    user_id = request.user.pk
    assert user_id is not None  # admin_view lets nobody in who has not logged in
    entry = LogEntry(
        user_id=user_id,
        content_type=ContentType.objects.get_for_model(row, for_concrete_model=False),
        object_id=str(row.pk),
        object_repr=str(row)[:200],
        action_flag=action,
        change_message=message,
    )
    entry.event = (kind, subject_of(row))  # type: ignore[attr-defined]  # for record_entry
    entry.save()


def as_attachment(response: Response, name: str) -> Response:
    """Make a browser save the response as a file, whatever it holds, and never open it."""
    response.headers["Content-Type"] = "application/octet-stream"
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response
