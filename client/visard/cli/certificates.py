"""``visard certs``: an authority, certificates for those whom it vouches for, and whom others' authorities vouch for."""

from pathlib import Path
from typing import Annotated

import typer
from cryptography import x509
from visard_wire.vouching import fingerprint

from visard import certs
from visard.cli.output import out
from visard.errors import InvalidRequest

app = typer.Typer(
    no_args_is_help=True, help="Make certificates, issue more of them, renew them, and say whose to believe."
)


@app.command()
def init(
    directory: Path,
    host: Annotated[list[str] | None, typer.Option(help="Names and addresses of the services.")] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(help=f"An operator's own authority, for this role alone: one of {', '.join(certs.ROLES)}."),
    ] = None,
) -> None:
    """Make an authority, and a certificate for each role; or with --only an operator's own, for what it runs."""
    certs.init(directory, host or ("localhost", "127.0.0.1"), only or tuple(certs.ROLES))
    if only:
        root = x509.load_pem_x509_certificate((directory / "ca.pem").read_bytes())
        out.print(f"{directory}: ca.pem is for the other operators, who see it has SHA-256", highlight=False)
        typer.echo(fingerprint(root))
        out.print("ca.key is for nobody else: keep it safe")
    else:
        out.print(f"certificates in {directory}; move each party's to its operator, and keep ca.key safe")


@app.command()
def trust(
    directory: Annotated[Path, typer.Argument(help="Where roots.toml and the roots are written.")],
    vouched: Annotated[
        list[str] | None,
        typer.Argument(
            help="ROLE=FILE, as in party/0=theirs.pem, gateway=gw.pem, verifier/*=ca.pem; what is there stays."
        ),
    ] = None,
) -> None:
    """Say whose root vouches for which role, and show all fingerprints (SHA-256): compare them with each operator by telephone.

    A file may hold several roots, the next one and the one before, while an operator changes to another.
    """
    files: dict[str, Path] = {}
    for word in vouched or ():
        role, sign, file = word.partition("=")
        if not sign or not file or role in files:
            raise InvalidRequest(f"{word}: ROLE=FILE, each role once")
        files[role] = Path(file)
    for role, roots in certs.trust(directory, files).items():
        for root in roots:
            typer.echo(f"{role:12} {fingerprint(root)}  until {root.not_valid_after_utc:%Y-%m-%d}")


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
    host: Annotated[
        list[str] | None, typer.Option(help="Further names and addresses, as of a party's workers.")
    ] = None,
) -> None:
    """Renew a certificate and its key for the same role and hosts; services take it without a restart."""
    certs.renew(directory, name, host or ())
    out.print(f"{name}.pem and {name}.key are new")
