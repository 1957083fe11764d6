"""Access credentials: public keys and passwords of mounted Secrets, and how the guest gets them."""
