"""Reading a configuration step by step, in the order in which xl does."""
