"""The direction from the background to the object: one for all images, or one for each kind of thing among them."""
