"""The resource as users see it: spec, status, conditions, reasons, and the CRD rendered from them.

Parses at the edge and is frozen afterwards. It must not know how a run goes on, nor any cluster.
"""
