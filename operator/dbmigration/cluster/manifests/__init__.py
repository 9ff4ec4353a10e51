"""What the operator creates: a step, put into the words of a Job.

Pure: an order and a spec in, a document out. It must not talk to a cluster, nor know why a step is started.
"""
