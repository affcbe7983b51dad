"""What the processes of one run share: the pool and its leases, the shelf, the bound and the rate."""
