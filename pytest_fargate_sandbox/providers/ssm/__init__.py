"""The Session Manager as a way into a task that lets nobody in: AWS's data channel, and our own layer inside it."""
