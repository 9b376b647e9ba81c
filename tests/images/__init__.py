"""Images of CVAT's stack without a registry: this host's own programs under the real names."""
