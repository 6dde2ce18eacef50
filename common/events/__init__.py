"""What happened: a table of events that outlives whom and what they are about.

Below both apps, so that each can record what it does; docs/decisions/0014-events.md says why.
"""
