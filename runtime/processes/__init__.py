"""The processes of one run: who started them, what they say, and how they end together."""
