"""Faults, each caused for real."""
