"""What a run is told: options, files, environment and the marker, in one vocabulary."""
