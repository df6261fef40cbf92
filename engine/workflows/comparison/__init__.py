"""Networks under one protocol, and finished runs query by query."""
