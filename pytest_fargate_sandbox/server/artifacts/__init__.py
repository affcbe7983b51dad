"""What a workspace is asked for with bounds: files, listings and archives that never leave it."""
