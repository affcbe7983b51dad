"""AWS: the one place that makes calls, what it refuses, the ends of logs, files by way of S3."""
