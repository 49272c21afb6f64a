"""One claim a file: what it measures, what follows, and what it shows. `CLAIM` is picked up from each."""
