"""Supervised recognition: fine-tuning, distillation, the plug-in module."""
