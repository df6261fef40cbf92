"""The flags of main_pretrain.py."""
