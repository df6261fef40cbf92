"""The flags of main_finetune.py."""
