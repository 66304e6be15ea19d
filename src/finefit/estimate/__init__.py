"""From a recording to a ledger: which bytes, when, why."""
