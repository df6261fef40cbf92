"""Which images make up which batch: functions of seed, epoch, step and rank alone."""
