"""How much the top-1 of an int8 build depends on which calibration images were drawn."""
