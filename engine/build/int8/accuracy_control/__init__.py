"""The search for a build that keeps an accuracy constraint."""
