"""Networks that only answer, and what a student is told by them."""
