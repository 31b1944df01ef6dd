"""Quality of an encode against its reference."""
