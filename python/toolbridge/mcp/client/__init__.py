"""The transports and the session, each in the module where the official SDK has it."""
