"""Many streams through one that may repeat itself: what a way in without SSH is made of. Both its ends run this."""
