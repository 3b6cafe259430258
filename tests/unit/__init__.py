"""Tests that need no server: functions, schemas, the store and the Python API in this process and its owner."""
