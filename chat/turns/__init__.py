"""Turns: a message is a row before it is anything else (docs/decisions/0007-turns.md says why).

answer: accept (1), read_history (2), the assistant (3), finish (4), store_turn (5, 6). flush stores
what was left waiting; deletion sees to it that nothing of a deleted conversation comes back.
"""
