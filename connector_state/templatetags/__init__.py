"""What templates of connector state use."""
