"""The person at the terminal: prompts, and an editor."""
