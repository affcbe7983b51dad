"""What is written down, and acted on later: the ledger, the sweep, kept tasks, the report."""
