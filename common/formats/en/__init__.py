"""Formats that replace Django's for English."""
