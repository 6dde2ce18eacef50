"""The start page: its panels, the charts and the tables in them."""
