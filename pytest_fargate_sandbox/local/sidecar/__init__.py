"""The engine's own SSH sidecar, on paramiko's server side, so that no sshd need be installed."""
