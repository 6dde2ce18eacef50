"""The production layout, each part a process that can be killed, frozen and cut off."""
