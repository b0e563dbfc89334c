"""All commands, in the order of the help."""

import typer

from visard.cli import (
    admin,
    certificates,
    crossing,
    demo,
    evaluate,
    galleries,
    local,
    migrating,
    models,
    operate,
    registrar,
    subjects,
    train,
    web,
)

HELP = (
    "Match faces where nobody sees the face: photos stay here, and three parties compute on secret shares of them. "
    "Only you learn the answer."
)

app = typer.Typer(no_args_is_help=True, add_completion=False, help=HELP, pretty_exceptions_enable=False)
for part in (local, subjects, migrating, demo, operate, evaluate, train):
    app.add_typer(part.app)
app.add_typer(models.running)
models.app.command("status")(migrating.status)
app.add_typer(models.app, name="model")
for name, command in (
    ("recipients", crossing.recipients),
    ("export", crossing.export),
    ("import", crossing.import_gallery),
):
    galleries.app.command(name)(command)
app.add_typer(galleries.app, name="gallery")
app.add_typer(web.app, name="web")
app.add_typer(certificates.app, name="certs")
app.add_typer(admin.app, name="admin")
app.add_typer(registrar.app, name="registrar")
