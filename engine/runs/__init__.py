"""Runs: what a user asks for, the plan that answers, and the jobs that it becomes."""
