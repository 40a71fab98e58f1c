"""The only door to the network: everything that opens a connection does it here."""
