"""How hard each loss term pulls at the network, and a ratio that can be held between two sides of a loss."""
