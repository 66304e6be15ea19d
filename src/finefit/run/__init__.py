"""One training run: its folder, its worker process, its events, its receipt."""
