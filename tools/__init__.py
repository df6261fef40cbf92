"""Commands beside the main job; each has --help."""
