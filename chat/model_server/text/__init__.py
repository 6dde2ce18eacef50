"""Reads what a model says in its text: words, thoughts, and calls."""
