"""Where faces are, how they are cut out and put back."""
