"""Where a network looks, and whether the object is there."""
