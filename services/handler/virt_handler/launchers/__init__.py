"""Finding the launchers of this node and talking to them. Everything below a pod's folder is hostile."""
