"""The only code that touches a machine: it fetches what is there and judges nothing."""
