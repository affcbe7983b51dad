"""CodeBuild as the engine plays it: it really builds, with podman or docker."""
