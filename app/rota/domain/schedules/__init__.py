"""Schedules: what a client declares, and the fire times that follow from it."""
