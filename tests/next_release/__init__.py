"""The next release of this tree, made by a script: what tests of two builds need. `make next-images` is the way in."""
