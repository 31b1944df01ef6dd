"""The command line, the local stack and the report: the room that knows all the others."""
