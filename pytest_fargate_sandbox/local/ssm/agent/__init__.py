"""The agent of ECS Exec, as it runs in a container: one thread, and nothing imported once it is there."""
