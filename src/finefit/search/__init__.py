"""From wishes to answers: which knobs a job runs with."""
