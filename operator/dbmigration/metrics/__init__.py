"""What the operator counts, for Prometheus. Labels are bounded: resources, closed sets of words, never what a user typed freely.

It must not read a cluster or a clock; it is told.
"""
