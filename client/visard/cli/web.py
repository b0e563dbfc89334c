"""``visard web``: the pages for people, written as a folder for any web server, and a small server to try it."""

from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from visard import pages, serving
from visard.calls import DEFAULT_MODEL
from visard.cli.output import err
from visard.cli.session import Gallery, Model
from visard.connection import authority as authority_in
from visard.errors import InvalidRequest

app = typer.Typer(
    no_args_is_help=True,
    help="The pages for people: enrol, verify, a kiosk, an operator's page. A site of your own serves them, the gateway never.",
)


@app.command()
def build(
    folder: Annotated[Path, typer.Argument(help="Folder to write; one of before is replaced.")],
    gateway: Annotated[str, typer.Option(help="Where the gateway answers browsers: https://gateway.example:7443.")],
    authority: Annotated[Path, typer.Option(help="ca.pem or roots.toml, or the directory that has one of them.")],
    registrar: Annotated[str, typer.Option(help="Where browsers get certificates by invitation.")] = "",
    model: Model = DEFAULT_MODEL,
    gallery: Gallery = "default",
    consent: Annotated[
        Path | None, typer.Option(help="TOML with version, and en or de, the text; without it nobody is enrolled.")
    ] = None,
    review: Annotated[
        bool, typer.Option("--review", help="Who may be enrolled under another name waits for a review.")
    ] = False,
    views: Annotated[
        str, typer.Option(help="What the site shows, the first one at once: of enrol, verify, kiosk and operator.")
    ] = ",".join(pages.VIEWS),
    built: Annotated[Path, typer.Option("--pages", help="The pages as make web-pages has built them.")] = pages.BUILT,
) -> None:
    """Write a site: a folder of static files for any web server, and the headers that it must send with them."""
    found = authority_in(authority) if authority.is_dir() else authority
    site = pages.Site(gateway, found, registrar, model, gallery, consent, review, tuple(views.split(",")))
    pages.write(site, built, folder)
    err.print(f"written: {folder}; what its server must send: {folder / pages.HEADERS}")


@app.command()
def serve(
    folder: Annotated[Path, typer.Argument(help="A folder that visard web build has written.")],
    listen: Annotated[str, typer.Option(help="HOST:PORT.")] = "127.0.0.1:8443",
    cert: Annotated[Path | None, typer.Option(help="The site's certificate, in PEM.")] = None,
    key: Annotated[Path | None, typer.Option(help="Its key, in PEM.")] = None,
) -> None:
    """Serve a site to try it; Ctrl-C ends. Without a certificate only this machine's browsers may use its camera."""
    host, _, port = listen.rpartition(":")
    host = host.strip("[]")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise InvalidRequest(f"--listen: {listen}: HOST:PORT")
    if (cert is None) != (key is None):
        raise InvalidRequest("--cert and --key: both or neither")
    tls = (cert, key) if cert is not None and key is not None else None
    if tls is None and host not in ("127.0.0.1", "::1", "localhost"):
        raise InvalidRequest("--cert: without TLS a site is served to this machine alone")
    with serving.Server(serving.Served.read(folder), host, int(port), tls) as server, suppress(KeyboardInterrupt):
        err.print(f"ready: {'https' if tls else 'http'}://{listen}/. Ctrl-C stops.")
        server.serve_forever()
