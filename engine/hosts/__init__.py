"""Machines that run jobs: the home folder and which database belongs to it."""
