"""What becomes of one task: its definition, its launch, what ECS says of it, and why it ended."""
