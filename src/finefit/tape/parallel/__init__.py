"""What one GPU cannot show: the step of one rank among several, composed from the recording of one alone.

The recording is of the step that one rank runs by itself: its own micro-batch, weights in the dtype of training. An
engine takes weights, gradients and the optimizer's state out of it and puts what it keeps itself in their place, at the
events where it makes and drops it. One file for each engine, and each names the versions and functions it was read
from.
"""
