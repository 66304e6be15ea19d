"""From plans to the words of transformers, TRL and PEFT, as plain dicts."""
