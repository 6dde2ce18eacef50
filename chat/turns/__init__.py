"""A turn is a row before it is anything else (docs/decisions has the why).

accept (1) -> answer (2 to 4) -> store (5, 6); flush takes up what was left waiting, deletion makes
it that nothing comes back.
"""
