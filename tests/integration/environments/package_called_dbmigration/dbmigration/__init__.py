"""An application's own package, which happens to bear our name; so do modules of ours, at its top level."""
