"""What may follow a sorting: commands that run beside the page."""
