"""report.html, the one page of a run: what the command knows, what its folder holds."""
