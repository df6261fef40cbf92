"""What more costs: images, classes, pixels, keys, rows of a collection. Machines and sizes, no quality."""
