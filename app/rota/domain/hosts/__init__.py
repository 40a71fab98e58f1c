"""Hosts: which addresses and names Rota may connect to."""
