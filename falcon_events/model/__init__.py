"""Types that travel between the parts; no I/O."""
