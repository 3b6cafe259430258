"""Owner process: the one process that opens the store's file, and its connections to all others."""
