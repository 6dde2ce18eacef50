"""Turns under way: what is said in them, for whoever follows, and how they are stopped.

The row of a turn is the truth; this is what can't be read from it yet
(docs/decisions/0013-streaming.md).
"""
