"""A whole hardware-requirements document: sections ask the verbs, blocks hold what they answer, renderers write it."""
