"""DDT in a program of somebody's own: pictures in, boxes and masks out, no folder of crops."""
