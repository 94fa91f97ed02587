"""The parts of the completion call; the public names are in ``toolbridge.main``."""
