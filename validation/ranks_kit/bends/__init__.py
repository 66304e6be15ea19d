"""Where a library is bent so that ranks run, and can be watched, on a processor: one file a bend."""
