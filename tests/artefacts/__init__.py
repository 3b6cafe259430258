"""Tests of what is built or written: packages, the executable, the image, the service, the documentation."""
