"""``virtadm``, also as ``python -m virt_admin``: runs the command; an expected error is a line and a status."""

from __future__ import annotations

import sys

import click

from virt_admin.cli import virtadm
from virt_admin.outcome import UNKNOWN, USAGE, CannotTell
from virt_admin.screen.text import clean


def main() -> None:
    """Run the command of the process's arguments, and end the process."""
    try:
        status = virtadm.main(standalone_mode=False)
    except click.UsageError as error:
        error.show()
        status = USAGE
    except click.ClickException as error:
        error.show()
        status = UNKNOWN
    except CannotTell as error:
        click.echo(f"virtadm: {clean(str(error))}", err=True)
        status = error.status
    except (click.Abort, KeyboardInterrupt):
        status = 130  # as shells say of a command that SIGINT ended
    sys.exit(status or 0)


if __name__ == "__main__":
    main()
