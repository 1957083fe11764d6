"""virtadm, a command for cluster administrators. It reads and never writes, and needs no component of the suite but,
for `peers`, virt-operator.

cli.py → access.py (kubeconfig) → suite/ (what the API server has) → summary → screen/; doctor/ explains one VM or the
suite, peers/ asks virt-operator.
"""
