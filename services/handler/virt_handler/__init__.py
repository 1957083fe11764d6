"""virt-handler: starts the guests of its node and reports their state. See ARCHITECTURE.md; app.py names every task."""
