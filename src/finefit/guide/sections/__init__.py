"""One file a section: a function from a subject to blocks."""
