"""Whether everything that Statekeep needs answers, and who is told when something does not."""
