"""How good a swap is, in figures: on photos of many people, and on clips."""
