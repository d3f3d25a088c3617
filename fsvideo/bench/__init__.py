"""What a swap costs on this machine: stage by stage, as a whole, and beside what the machine could do at best."""
