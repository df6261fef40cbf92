"""Language as the second input: descriptions of classes, their tensors, and whether they are any good."""
