"""The command line: one file a command, which parses, calls one verb and shows."""
