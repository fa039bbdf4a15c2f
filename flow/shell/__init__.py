"""The registers of the accelerator shell: one description, and all that is made of it."""
