"""Equations as pure functions of tensors; they return one number per sample."""
