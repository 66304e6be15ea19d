"""What the project speaks of: frozen values, nothing that acts."""
