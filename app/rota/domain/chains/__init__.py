"""Chains of tasks: limits, fan-in, and the merged results of predecessors."""
