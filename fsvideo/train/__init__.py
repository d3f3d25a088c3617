"""Training crops, losses and loops."""
