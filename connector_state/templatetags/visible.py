"""Stored names in templates."""

from django import template

from connector_state.presentation import visible

register = template.Library()
register.filter("visible", visible)
