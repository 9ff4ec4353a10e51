"""The operator's process: what it hears from the cluster is cached and queued, and workers tend one resource at a time.

The only room that imports kopf, which is its ears and nothing else. It must not decide, nor call the API server itself.
"""
