"""Measuring: every figure comes from processes that were started for it."""
