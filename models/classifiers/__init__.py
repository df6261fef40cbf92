"""Networks that name classes: how they start, learn layer by layer, and are kept."""
