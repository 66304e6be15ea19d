"""Facts as data, each row with its source."""
