"""The start page of admin, the figures of each day, and whether everything answers."""
