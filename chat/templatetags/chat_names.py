"""Names of users and conversations in templates."""

from django import template
from django.template.defaultfilters import stringfilter

from chat.admin.rendering import visible

register = template.Library()
register.filter("visible", stringfilter(visible))
