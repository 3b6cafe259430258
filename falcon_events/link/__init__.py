"""The link: from any number of processes to the one that owns the store's file."""
