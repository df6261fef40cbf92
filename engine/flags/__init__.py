"""Flags: what may be said on a command line, and what is made of it."""
