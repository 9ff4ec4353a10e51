"""What each step does, a module a step."""
