"""A page to search photographs on: words, one of them, a picture of one's own, or a part of either."""
