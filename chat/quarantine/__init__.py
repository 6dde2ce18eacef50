"""Documents that can't be read: copies of their bytes, and how operators repair them."""
