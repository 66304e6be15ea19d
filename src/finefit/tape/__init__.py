"""Recordings of births and deaths: their segments, peaks, and exact extension over layers. No torch."""
