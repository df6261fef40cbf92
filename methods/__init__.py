"""One published system per file: networks and losses become named loss terms."""
