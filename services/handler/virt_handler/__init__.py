"""virt-handler: the owner of guest truth on its node. See ARCHITECTURE.md; app.py names every task."""
