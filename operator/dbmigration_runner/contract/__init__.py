"""What the operator and the runner say to each other: tasks, results, reasons, and their JSON.

The only part of this package that the operator imports; it must import nothing but the standard library.
"""
