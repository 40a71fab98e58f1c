"""Egress: all that goes out of the service, and the limits that it keeps."""
