"""From files to a manifest of images with subjects, and from a manifest to a store of arrays."""
