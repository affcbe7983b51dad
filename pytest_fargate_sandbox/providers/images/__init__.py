"""Images: built once for their content, cached in ECR, mirrored, and never built twice at the same time."""
