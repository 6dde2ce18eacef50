"""Removal of conversations that have expired."""
