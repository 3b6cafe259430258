"""Host applications that a tracker is mounted into: each has routes, errors, a stream and a tracker of its own."""
