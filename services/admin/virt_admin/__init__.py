"""virtadm, a command for cluster administrators. What shows the suite needs no component of it; what asks virt-operator
or changes the KubeVirt object says so.

cli.py → access.py (kubeconfig) → suite/ (what the API server has) → summary → screen/; doctor/ explains one VM or the
suite, peers/ and preflight/ ask virt-operator, requests/ changes the suite.
"""
