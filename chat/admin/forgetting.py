"""The page that removes all of a chat user: a name, then a question, then the POST."""

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.template.defaultfilters import pluralize
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from chat.admin.lists import DELETE, VIEW
from chat.errors import NotFound
from chat.models import ChatUser, Conversation
from chat.retention.forget import belongings, forget, in_words
from common.admin.pages import log_action
from common.database.busy import DatabaseBusy
from common.visible import visible_name

TITLE = "Remove all of a user"


@never_cache
@require_http_methods(["GET", "POST"])
def forget_page(request: HttpRequest) -> HttpResponse:
    """Ask for a name, show what there is of that user, and remove it on a POST."""
    if not request.user.has_perms([VIEW, DELETE]):
        raise PermissionDenied
    sent = request.POST if request.method == "POST" else request.GET
    user_id = sent.get("user", "")
    if not user_id:
        return _answer(request, {"typed": request.GET.get("typed", "")})
    try:
        if request.method == "POST":
            return _forget(request, user_id)
        found = in_words(belongings(user_id))
    except NotFound:
        return _answer(request, {"typed": user_id, "error": "Nobody in the chat has this name."})
    except DatabaseBusy as error:
        return _answer(request, {"typed": user_id, "error": error.detail}, 503)
    return _answer(request, {"user_id": user_id, "found": found})


def _forget(request: HttpRequest, user_id: str) -> HttpResponse:
    found, waiting = forget(user_id)
    words = f"All of {visible_name(user_id)} is removed: {in_words(found)}."
    log_action(request, ChatUser(user_id=user_id), f"Removed all of the user: {in_words(found)}.")
    level = messages.SUCCESS
    if waiting:
        level = messages.WARNING
        words += (
            f" {waiting} deletion{pluralize(waiting, ' waits,s wait')} for the conversation store."
        )
    messages.add_message(request, level, words)
    return redirect("admin:chat_conversation_changelist")


def _answer(request: HttpRequest, context: dict[str, Any], status: int = 200) -> HttpResponse:
    context = {
        **admin.site.each_context(request),
        "opts": Conversation._meta,
        "title": TITLE,
        "back_url": reverse("admin:chat_conversation_changelist"),
        **context,
    }
    return render(request, "admin/chat/forget_user.html", context, status=status)
