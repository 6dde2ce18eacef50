"""Export and import of what a connector has stored. The pages and the commands use it.

Both go page by page, so that they hold a few values at a time, never all of them.
"""
