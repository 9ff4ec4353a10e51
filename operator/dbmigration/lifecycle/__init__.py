"""What happens to a DatabaseMigration, decided from one snapshot at a time. Pure: no I/O, no clock, no cluster, no memory.

A snapshot is `Observed`, an answer is `Decision`; `decide` makes the one of the other, and a `World` supplies and applies them.
"""
