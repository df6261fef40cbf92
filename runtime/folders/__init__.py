"""Folders that a command writes to: whose they are, and who holds them now."""
