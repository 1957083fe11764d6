"""`virtadm ui`, a page on localhost: serve → app (session, guard) → board (watches) → feed; calls and relay act.

The page's own sources are in services/admin/page. Nothing here is part of the cluster: everything is read and done with
the user's kubeconfig.
"""
