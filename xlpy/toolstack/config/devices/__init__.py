"""The devices of a configuration: one file for each kind of specification."""
