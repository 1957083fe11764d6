"""One reconcile pass: observe.py (effects → Observed) → plan.py (pure → actions) → execute.py → status.py last."""
