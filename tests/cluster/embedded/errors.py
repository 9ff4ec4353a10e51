"""What can keep a test cluster from running. Each message names the cause and the remedy."""


class ClusterError(Exception):
    """The cluster, an image or a tool that it needs cannot be had."""
