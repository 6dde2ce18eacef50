"""What a state call means, without Django's requests and without I/O."""
