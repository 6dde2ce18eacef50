"""Stored names in templates."""

from django import template
from django.template.defaultfilters import stringfilter

from common.visible import visible_name

register = template.Library()
register.filter("visible", stringfilter(visible_name))
