"""Accuracy control: the search for an int8 build that meets an accuracy constraint."""
