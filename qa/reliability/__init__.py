"""Reliability: counts of what a daemon leaves, loses or lets out under load, kills and races; nothing is timed."""
