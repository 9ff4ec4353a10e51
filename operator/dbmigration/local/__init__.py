"""The same lifecycle without a cluster: steps are child processes, the store is one locked JSON file a resource.

It must not decide anything, nor know SQL: `lifecycle` decides, the runner works.
"""
