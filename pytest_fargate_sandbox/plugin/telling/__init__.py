"""What a run tells: reports, the live line, the summary, traces, and what is kept for a later look."""
