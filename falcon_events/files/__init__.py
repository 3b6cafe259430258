"""Files of a store: their paths, the lock file, and the checks of `falcon-events doctor`."""
