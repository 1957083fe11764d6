"""What is behind the guest's disks: found, judged, made. Only machine/execute.py starts it, and only for a machine
whose guest never ran: so whatever a launcher that died left half-way is made anew, and nothing that a guest wrote.

prepare.py is the flow, container_files.py and sources.py look, image_header.py and plan.py decide, execute.py acts.
"""
