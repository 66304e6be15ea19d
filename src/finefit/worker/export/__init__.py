"""One model for others out of what a run left: its weights shard by shard, its papers, and the check that it is the
model that was trained."""
