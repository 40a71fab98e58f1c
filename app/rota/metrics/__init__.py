"""Metrics for Prometheus: what a process counts, and what it reads from the database when it is asked."""

from rota.metrics.service import Metrics

__all__ = ["Metrics"]
