"""What an administrator requests of the suite: wish → carry_out → follow until it is done."""
