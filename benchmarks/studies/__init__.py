"""Studies: several networks, seeds, class-disjoint splits or folds, side by side with their intervals."""
