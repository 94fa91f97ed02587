"""Authorization without a person, or with one whom an enterprise knows."""
