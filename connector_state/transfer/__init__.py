"""Export and import a connector's values; admin's pages and the commands use this.

Both work page by page, so that only a few values are in memory at a time.
"""
