"""What can go wrong in front of a run without a cluster, as a tree.

LocalError                 a message that names cause and remedy, never a secret
├── ManifestError          the manifest, or what the options say in its place, cannot be used
├── StoreHeldError         another process works on the same resource
├── StoreBrokenError       the store was written by another release, or by somebody else
└── UnansweredError        an API server did not answer; the same command may go better later

What goes wrong within a run is no exception: it is a status, with its reason.
"""

from __future__ import annotations


class LocalError(Exception):
    """A run cannot begin or go on."""


class ManifestError(LocalError):
    """A field of the manifest, or an option, is wrong; the message names it."""


class StoreHeldError(LocalError):
    """Another process has the store; the message names its pid."""


class StoreBrokenError(LocalError):
    """The store cannot be read."""


class UnansweredError(LocalError):
    """An API server did not answer; the message says what is known of what was asked of it."""
