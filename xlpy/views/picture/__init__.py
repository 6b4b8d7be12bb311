"""The memory of a host as a picture: guest-physical spaces, host-physical space and DIMMs, and what connects them."""
