"""What a release consists of: pure builders of every object that the operator installs (`desired.desired_objects`)."""
