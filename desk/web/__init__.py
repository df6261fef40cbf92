"""The page and what it asks: addresses, answers, the server."""
