"""The files beside a store: paths, the lock file, the doctor."""
