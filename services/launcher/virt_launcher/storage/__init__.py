"""Prepares the sources of the guest's disks. Called only by machine/execute.py, and only for a machine whose guest
never ran: so leftovers of a crashed launcher are replaced, but never data that a guest wrote.

prepare.py is the flow: container_files.py and sources.py observe, image_header.py and plan.py decide, links.py,
holder.py and execute.py act.
"""
