"""Plain folders: what their names and their order mean, and where that is ambiguous."""
