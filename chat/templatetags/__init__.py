"""What templates of the chat use."""
