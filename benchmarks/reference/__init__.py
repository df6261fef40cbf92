"""Each published system written down the plain way: the yardstick for speed and for values."""
