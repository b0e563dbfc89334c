"""``visard certs``: an authority, and certificates for those whom it vouches for."""

from pathlib import Path
from typing import Annotated

import typer

from visard import certs
from visard.cli.output import out

app = typer.Typer(no_args_is_help=True, help="Make certificates, issue more of them, and renew them.")


@app.command()
def init(
    directory: Path,
    host: Annotated[list[str] | None, typer.Option(help="Names and addresses of the services.")] = None,
) -> None:
    """Make an authority, and a certificate for each role."""
    certs.init(directory, host or ("localhost", "127.0.0.1"))
    out.print(f"certificates in {directory}; move each party's to its operator, and keep ca.key safe")


@app.command()
def issue(
    directory: Annotated[Path, typer.Argument(help="Where ca.pem and ca.key are.")],
    name: Annotated[str, typer.Argument(help="Makes NAME.pem and NAME.key.")],
    role: Annotated[str, typer.Option(help="visard://KIND/NAME; KIND is verifier, enroller, owner, admin or store.")],
    host: Annotated[list[str] | None, typer.Option(help="Names and addresses, of a server.")] = None,
) -> None:
    """Issue one more certificate: for another caller, or for a party's database."""
    certs.issue(directory, name, role, host or ())
    out.print(f"{name}.pem and {name}.key for {role}")


@app.command()
def renew(
    directory: Annotated[Path, typer.Argument(help="Where ca.key and the certificate are.")],
    name: Annotated[
        str, typer.Argument(help="gateway, dealer, party0, party1, party2, verifier, client, owner, admin.")
    ],
) -> None:
    """Renew a certificate and its key for the same role and hosts; services take it without a restart."""
    certs.renew(directory, name)
    out.print(f"{name}.pem and {name}.key are new")
