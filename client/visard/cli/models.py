"""Commands about models: publish, list. Publishing takes the owner's certificate, and torch."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from visard.cli.options import DEFAULT_HOME, AsJson, Deadline, Home, connect
from visard.cli.output import Output
from visard.client import DEFAULT_MODEL, Client, Connection
from visard.publish import DEFAULT_FIELD_BITS, Compiled, compile_face_model, publish

PUBLISH_SECONDS = 120.0

Calibrate = Annotated[
    list[Path] | None,
    typer.Option("--calibrate", metavar="PHOTO", help="Check ranges on this photo (repeatable); else on patterns."),
]
FieldBits = Annotated[int, typer.Option("--field-bits", help="31 (fast) or 61 (wider ranges).")]


def register(app: typer.Typer) -> None:
    """Add ``visard model``."""
    group = typer.Typer(no_args_is_help=True, help="Publish and list networks.")
    group.command("publish")(publish_model)
    group.command("list")(list_models)
    app.add_typer(group, name="model")


def publish_model(
    name: Annotated[str, typer.Argument(metavar="[NAME]", help="Letters a-z, digits and . _ -")] = DEFAULT_MODEL,
    calibrate: Calibrate = None,
    field_bits: FieldBits = DEFAULT_FIELD_BITS,
    home: Home = DEFAULT_HOME,
    deadline: Deadline = PUBLISH_SECONDS,
    as_json: AsJson = False,
) -> None:
    """Compile the built-in face network here and publish it: its weights leave as three sealed shares."""
    output = Output(as_json)
    if field_bits not in (31, 61):
        raise typer.BadParameter("31 or 61", param_hint="--field-bits")
    connection = Connection.from_home(home, "owner")
    with output.progress("Compiling the face network"):
        compiled = compile_face_model(calibrate or (), q=field_bits)
    with output.progress(f"Publishing {name}"):
        asyncio.run(_publish(connection, name, compiled, deadline))
    digest = compiled.program.digest.hex()
    fields = {"model": name, "program": digest, "weights": int(compiled.weights.size), "field_bits": field_bits}
    output.answer(f"{name}: published, {compiled.weights.size} weights, program {digest[:16]}", fields)


async def _publish(connection: Connection, name: str, compiled: Compiled, deadline: float) -> None:
    async with Client(connection, model=name, deadline=deadline) as client:
        await publish(client, name, compiled)


def list_models(home: Home = DEFAULT_HOME, as_json: AsJson = False) -> None:
    """The published models."""
    output = Output(as_json)
    with output.progress("Listing models"), connect(home) as client:
        found = client.models()
    rows = [
        {
            "model": info.name,
            "program": info.program_digest.hex(),
            "input_shape": list(info.input_shape),
            "field_bits": info.field_bits,
            "descriptor_size": info.descriptor_size,
            "operating_points": list(info.operating_points),
        }
        for info in found
    ]
    text = "\n".join(
        f"{info.name}\t{'x'.join(map(str, info.input_shape))}\tp = 2^{info.field_bits} - 1\t"
        f"{', '.join(info.operating_points)}"
        for info in found
    )
    if found or as_json:
        output.answer(text, {"models": rows})
    else:
        output.note("no model is published: see visard model publish")
