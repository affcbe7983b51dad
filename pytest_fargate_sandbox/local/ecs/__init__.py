"""ECS on Fargate as the engine plays it: what it refuses, and the life of a task."""
