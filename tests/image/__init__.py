"""The image, while it runs."""
