"""Trained networks as a program of somebody's own uses them: without flags, files of results or words on a screen."""
