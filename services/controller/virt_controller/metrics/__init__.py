"""virt-controller's metrics, with KubeVirt's names and labels, made from the caches when somebody asks.

`measure.py` collects: `vms.py`, `vmis.py`, `migrations.py` make families, each of one kind of object. What is
counted while objects change is in `virt_controller/transitions.py`.
"""
