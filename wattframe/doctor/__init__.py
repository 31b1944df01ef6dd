"""What this machine can measure: one section a module function, each with what would make it better."""
