"""Studies: several networks, seeds, halves of classes or folds, side by side with their intervals."""
