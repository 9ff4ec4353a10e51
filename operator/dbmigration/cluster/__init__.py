"""The Kubernetes side of the lifecycle: it looks at a cluster and changes it, and is the only room that imports its client.

Raw documents of the API come in and go out here; behind this room everything has a type. It must not decide anything.
"""
