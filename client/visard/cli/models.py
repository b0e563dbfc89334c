"""``visard model`` and ``visard run``: publish networks, look at them, run them."""

from dataclasses import asdict
from math import prod
from pathlib import Path
from typing import Annotated

import numpy as np
import numpy.typing as npt
import typer
from PIL import Image
from rich.table import Table

import visard
from visard import owner
from visard.calls import DEFAULT_DEADLINE, DEFAULT_MODEL
from visard.cli.output import costs, emit, err, out, progress
from visard.cli.session import DEFAULT_HOME, Deadline, Home, Json, Largest, with_client
from visard.errors import AlreadyExists, InvalidRequest, NotFound
from visard.owner.networks.names import FACE_NAMES
from visard.points import Points, changed, stated
from visard.rates import percent
from visard.results import Attempts, ModelInfo, OperatingPoint, Output, PartyStatus
from visard.sharing import DEFAULT_FIELD_BITS

app = typer.Typer(no_args_is_help=True, help="Publish networks, list them, and see what they cost.")
running = typer.Typer()

PUBLISH_SECONDS = 300.0  # a whole network, over a slow line or at busy parties
_GREY, _COLOUR = 1, 3
_FEW_NUMBERS = 64  # are printed; more go into a file


@app.command()
def publish(
    name: Annotated[str, typer.Argument(help="Name to publish under.")] = DEFAULT_MODEL,
    source: Annotated[
        str,
        typer.Argument(
            help="FILE.py:FUNCTION, FILE.safetensors of visard train, face (SFace) or face-small (dlib's); if none, by NAME."
        ),
    ] = "",
    weights: Annotated[Path | None, typer.Option(help="FILE.safetensors with the module's state.")] = None,
    q: Annotated[
        int, typer.Option("--field", "--q", help="Field 2^q - 1: 31 (fast) or 61 (finer).")
    ] = DEFAULT_FIELD_BITS,
    shape: Annotated[str, typer.Option("--input", help="CxHxW, such as 3x112x112, unless the module states it.")] = "",
    point: Annotated[list[str] | None, typer.Option(help="NAME=DISTANCE; one is named default.")] = None,
    points: Annotated[Path | None, typer.Option(help="Report of visard evaluate, for its calibrated points.")] = None,
    open_output: Annotated[bool, typer.Option("--open-output", help="Whoever runs it sees its output.")] = False,
    calibration: Annotated[Path | None, typer.Option(help="Directory of images to check ranges on.")] = None,
    centre: Annotated[
        Path | None,
        typer.Option(help="Photos of the place: their mean descriptor is subtracted. Measure the points with it."),
    ] = None,
    calibrate: Annotated[list[Path] | None, typer.Option(help="Photos for the face network's ranges.")] = None,
    linearise: Annotated[
        float | None,
        typer.Option(
            help="Share of activations to make linear, fitted on the calibration photos: 0.3. SFace has a table."
        ),
    ] = None,
    allow_loose: Annotated[
        bool,
        typer.Option("--allow-loose", help="Also points with more than 0.1 % false matches, or unmeasured ones."),
    ] = False,
    home: Home = DEFAULT_HOME,
    deadline: Deadline = PUBLISH_SECONDS,
) -> None:
    """Compile a network, share its weights and publish it; or change its points, where it is published from the same source."""
    if q not in (31, 61):
        raise typer.BadParameter("31 or 61", param_hint="--field")
    if calibrate and source not in ("", *FACE_NAMES):
        raise typer.BadParameter("for face networks; others take --calibration DIR", param_hint="--calibrate")
    if calibrate and centre is not None:
        raise typer.BadParameter("with --centre ranges are checked on --calibration DIR", param_hint="--calibrate")
    bring, publishing = owner.bring, owner.publish
    owner.threads.single()
    source = bring.source_of(name, source)
    with progress("loading"):
        loaded = bring.load(source, weights, plain=linearise is not None)
        if centre is not None:
            loaded = owner.centre.centred(loaded, centre)
        network = bring.completed(loaded, shape, point or [], points)
        origin = owner.origins.of(network, q=q, opens=open_output, linearise=linearise)
    existing = with_client(home, lambda c: _published(c, name), role="owner")
    if existing is not None:
        fresh = stated(points, point or [])
        if fresh.distances:
            _same(home, existing, origin)
            err.print(
                f"{name} is published already, from this source: its operating points are changed, and nothing else"
            )
            _change(home, existing, changed(Points.of(existing.points), fresh), allow_loose=allow_loose)
            return
        raise AlreadyExists(f"model {name} is published already: {_instead(name)}")
    with progress("compiling"):
        if calibrate:
            compiled = publishing.compile_face_model(
                calibrate, network=source, q=q, points=network.points, rates=network.rates, linearise=linearise
            )
        else:
            compiled = bring.compile_network(
                network, q=q, calibration=calibration, opens=open_output, linearise=linearise or 0.0
            )
    with progress("sharing the weights"):

        async def work(client: visard.Client) -> None:
            await publishing.publish(client, name, compiled, allow_loose=allow_loose)
            owner.origins.remember(home, await _published(client, name), origin)

        with_client(home, work, deadline=deadline, role="owner")
    size = f"{compiled.multiply_adds / 1e6:.0f} M multiply-adds, {len(compiled.weights)} weights"
    out.print(f"published {name}: {size}; {compiled.tightest}")


async def _published(client: "visard.Client", name: str) -> ModelInfo | None:
    """What the services know of a model, if there is one of this name."""
    return next((info for info in await client.models.list() if info.name == name), None)


def _instead(name: str) -> str:
    return f"visard model points {name} changes its operating points, visard model delete {name} makes room for another"


def _same(home: Path, model: ModelInfo, origin: str) -> None:
    """Raise AlreadyExists unless a model was published from here, and from this source."""
    if owner.origins.remembered(home, model) != origin:
        here = f"and not from this source, as far as {home} knows"
        raise AlreadyExists(f"model {model.name} is published already, {here}: {_instead(model.name)}")


@app.command("points")
def change_points(
    name: str,
    points: Annotated[Path | None, typer.Option(help="Report of visard evaluate, for its calibrated points.")] = None,
    point: Annotated[list[str] | None, typer.Option(help="NAME=DISTANCE; it has no known rate.")] = None,
    only: Annotated[bool, typer.Option("--only", help="Drop the points that are not named.")] = False,
    allow_loose: Annotated[
        bool,
        typer.Option("--allow-loose", help="Also points with more than 0.1 % false matches, or unmeasured ones."),
    ] = False,
    home: Home = DEFAULT_HOME,
    as_json: Json = False,
) -> None:
    """Change a published model's operating points, at all three parties or at none; without options only list them.

    The network and whoever is enrolled stay. Points that are not named stay as they are; the default goes with the point that it
    is another name of.
    """
    fresh = stated(points, point or [])
    if only and not fresh.distances:
        raise typer.BadParameter("with --points or --point", param_hint="--only")
    model = with_client(home, lambda c: _published(c, name), role="owner" if fresh.distances else "client")
    if model is None:
        raise NotFound(f"model {name!r} is not published: see visard model list")
    if fresh.distances:
        replaced = changed(Points.of(model.points), fresh, only=only)
        _change(home, model, replaced, allow_loose=allow_loose, as_json=as_json)
        return
    _show_points(model, as_json=as_json)


def _change(home: Path, model: ModelInfo, points: Points, *, allow_loose: bool, as_json: bool = False) -> None:
    """Replace a model's points, and show those that it has then."""

    async def work(client: visard.Client) -> ModelInfo | None:
        await client.models.set_points(model.name, points.distances, points.rates, allow_loose=allow_loose)
        return await _published(client, model.name)

    _show_points(with_client(home, work, role="owner") or model, as_json=as_json)


def _show_points(model: ModelInfo, *, as_json: bool) -> None:
    points = [asdict(point) | {"cosine": point.cosine} for point in model.points]
    text = "\n".join([*map(_point, model.points), f"program {model.program_digest.hex()}"])
    emit(as_json, text, model=model.name, program=model.program_digest.hex(), points=points)


@app.command("list")
def list_models(home: Home = DEFAULT_HOME) -> None:
    """List the published models."""
    for model in with_client(home, lambda c: c.models.list()):
        typer.echo(f"{model.name}\t{_shape(model.input_shape)} to {_shape(model.output_shape)}\tq = {model.field_bits}")


@app.command()
def show(name: str, home: Home = DEFAULT_HOME) -> None:
    """Show what a model is and what a run of it costs."""

    async def work(client: visard.Client) -> tuple[ModelInfo, PartyStatus]:
        info = await client.models.info()  # raises where there is none
        layered = {one.name: one for one in await client.models.list(layers=True)}
        return layered.get(name, info), (await client.status()).parties[0]

    model, party = with_client(home, work, model=name)
    cost, points = model.cost, ", ".join(point.name for point in model.points)
    out.print(_layers(model))
    purpose = "opened to whoever runs it" if model.opens_output else f"compared on shares, never opened ({points})"
    for heading, text in (
        ("input, output", f"{_shape(model.input_shape)} to {_shape(model.output_shape)}, {purpose}"),
        *(("operating point", _point(point)) for point in model.points),
        *(("attempts", _attempts(one, party.attempts_seconds)) for one in party.attempts if one.model == name),
        ("chip", model.chip or "any, brought to the model's size"),
        ("field", f"2^{model.field_bits} - 1"),
        ("program", model.program_digest.hex()),
        ("secret weights", f"{cost.weights:,}"),
        ("multiply-adds", f"{cost.multiply_adds:,}"),
        ("nonlinear elements", f"{cost.nonlinear:,} compared or truncated"),
        ("rounds", f"{cost.rounds:,}"),
        ("sent by a party", f"{cost.sent_bytes / 1e6:.3f} MB"),
        ("kit", f"{cost.kit_bytes / 1e6:.3f} MB"),
        (
            "expected seconds",
            f"{cost.expected_seconds:.3f}, from measured rates: one core a party, no delay between them",
        ),
    ):
        out.print(f"{heading}: {text}")


def _point(point: OperatingPoint) -> str:
    rate = point.false_match_rate
    known = f"{percent(rate)} of strangers match" if rate else "never calibrated"
    return f"{point.name}: distance {point.distance:g} (cosine {point.cosine:.3f}), {known}"


def _attempts(allowed: Attempts, seconds: float) -> str:
    """What a party's budgets let through; 0 is no limit."""
    counts = (allowed.subject, allowed.search, allowed.gallery)
    subject, search, gallery = (f"{count:,}" if count else "any number of" for count in counts)
    return (
        f"{allowed.operating_point}: {subject} verifications of a subject, {search} searches of a caller, {gallery} of all, "
        f"within {seconds:g} s"
    )


def _layers(model: ModelInfo) -> Table:
    table = Table(title=model.name, title_justify="left")
    for heading in ("", "operation", "result", "multiply-adds", "nonlinear", "rounds", "kB sent"):
        table.add_column(heading)
    for k, layer in enumerate(model.cost.layers):
        numbers = (layer.multiply_adds, layer.nonlinear, layer.rounds)
        sent = f"{layer.sent_bytes / 1e3:.1f}" if layer.sent_bytes else ""
        table.add_row(str(k), layer.kind, _shape(layer.shape), *(f"{n:,}" if n else "" for n in numbers), sent)
    return table


def _shape(sizes: object) -> str:
    return "x".join(map(str, sizes))  # type: ignore[call-overload]


@app.command("delete")
def withdraw(name: str, home: Home = DEFAULT_HOME) -> None:
    """Remove a model that nobody is enrolled with."""
    with_client(home, lambda c: c.models.withdraw(name), role="owner")
    out.print(f"deleted model {name}")


@running.command()
def run(
    model: Annotated[str, typer.Argument(help="A model that was published with --open-output.")],
    images: Annotated[list[Path], typer.Argument(help="Brought to the model's size; two for one that judges pairs.")],
    largest: Largest = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="FILE.png for a picture, FILE.npy for the numbers.")
    ] = None,
    home: Home = DEFAULT_HOME,
    deadline: Deadline = DEFAULT_DEADLINE,
    as_json: Json = False,
) -> None:
    """Share an image, run a model on the shares, and see its output here and nowhere else."""
    if output is not None and (output.suffix not in (".png", ".npy") or not output.parent.is_dir()):
        raise typer.BadParameter("a name that ends in .png or .npy, in a directory", param_hint="--output")

    async def work(client: visard.Client) -> Output:
        _check_output(tuple((await client.models.info()).output_shape), output)  # before the run
        return await client.run(*images, largest=largest)

    with progress(f"running {model}"):
        answer = with_client(home, work, model=model, deadline=deadline)
    seconds, shape = f"{answer.report.seconds:.2f} s", _shape(answer.values.shape)
    if output is None:
        numbers = answer.values.reshape(-1).tolist()
        emit(as_json, f"{' '.join(f'{n:.6g}' for n in numbers)} ({seconds})", output=numbers, **costs(answer.report))
        return
    write_output(answer.values, output)
    emit(as_json, f"{output}: {shape}, {seconds}", output=str(output), **costs(answer.report))


def _check_output(shape: tuple[int, ...], output: Path | None) -> None:
    """Whether an output of this shape can go there; raises InvalidRequest."""
    if output is None and prod(shape) > _FEW_NUMBERS:
        raise InvalidRequest(f"an output of {_shape(shape)} is much to print: name a file with -o")
    if output is not None and output.suffix == ".png" and not _is_picture(shape):
        raise InvalidRequest(f"an output of {_shape(shape)} is no picture: name a FILE.npy with -o")


def _is_picture(shape: tuple[int, ...]) -> bool:
    return len(shape) == 3 and shape[0] in (_GREY, _COLOUR)


def write_output(values: npt.NDArray[np.float64], path: Path) -> None:
    """The numbers as they are, or as a picture: rounded, and cut to 0 to 255."""
    if path.suffix == ".npy":
        np.save(path, values)
        return
    pixels = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    Image.fromarray(pixels[0] if len(pixels) == _GREY else pixels.transpose(1, 2, 0)).save(path)
