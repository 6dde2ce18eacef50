"""Puts an answer that is streamed together from its events."""
