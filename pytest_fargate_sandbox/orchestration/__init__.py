"""What spans sandboxes and processes: the local cluster, the ledger, the sweep, and what is shared between workers."""
