"""Tests of running servers, over HTTP, from clients and from browsers."""
