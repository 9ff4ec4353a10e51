"""A real Kubernetes cluster from nothing: its own processes, its own network, no registry and no virtual machine.

`python -m tests.cluster.embedded up` starts one, `down` leaves nothing of it. Knows nothing of the operator under test.
"""
