"""Conversations on a Dapr state store: contract dapr-state-chat.md.

A chat call goes views -> turns -> repository and assistant -> tools; nothing comes back up.
"""
