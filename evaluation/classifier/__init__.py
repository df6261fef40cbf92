"""What a trained classifier says of pictures, and how often it is right."""
