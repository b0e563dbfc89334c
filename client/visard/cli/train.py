"""``visard train``: the thesis' networks on a directory of faces."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

import typer

from visard import owner
from visard.cli.evaluate import bar
from visard.cli.output import err, out

app = typer.Typer()

Names = Literal["classic-contrastive", "classic-entropy", "resnet-contrastive", "resnet-entropy"]


@app.command()
def train(
    network: Annotated[Names, typer.Argument(help="Branch and loss.")],
    directory: Annotated[Path, typer.Argument(help="Faces: a folder for each person.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="FILE.safetensors; .json, .png and .pairs.txt beside it.")
    ],
    by: Annotated[Literal["image", "person"], typer.Option("--split", help="What the test has not seen.")] = "image",
    fold: Annotated[int, typer.Option(min=0, max=7, help="Which eighth is the test.")] = 0,
    steps: Annotated[int, typer.Option(min=10, help="Batches of 48 images.")] = 600,
    seed: Annotated[int, typer.Option(help="Of weights, batches, augmentation and split.")] = 0,
) -> None:
    """Train a network of the thesis on one thread: 75 / 12.5 / 12.5 percent for training, threshold and test."""
    if output.suffix != ".safetensors":
        raise typer.BadParameter("a name that ends in .safetensors", param_hint="--output")
    owner.threads.single()
    faces, loop, weights = owner.training.faces, owner.training.loop, owner.training.weights
    found = faces.read_faces(directory)
    parts = faces.split(found, by, fold, seed)
    with bar(f"training {network}", steps) as advance:
        trained = loop.Trainer(network, found, parts, by, steps=steps, seed=seed).run(advance)
    pairs = faces.evaluation_pairs(found, parts, parts.test, by, seed)
    output.with_suffix(".pairs.txt").write_text("\n".join(faces.lines(found, pairs)) + "\n")
    notes = {"split": by, "fold": fold, "steps": steps, "seed": seed, "test_accuracy": trained.test_accuracy}
    weights.save(trained, network, output, notes)
    points = [asdict(point) for point in trained.curve]
    answer = notes | {
        "network": network,
        "threshold": trained.threshold,
        "test_pairs": trained.test_pairs,
        "curve": points,
    }
    output.with_suffix(".json").write_text(json.dumps(answer, indent=1) + "\n")
    curve = [(point.step, point.loss, point.validation_accuracy) for point in trained.curve]
    owner.evaluation.plots.draw_learning(curve, f"{network}, split by {by}", output.with_suffix(".png"))
    out.print(
        f"{network}, split by {by}, eighth {fold}: {100 * trained.test_accuracy:.2f} % of {trained.test_pairs} test pairs "
        f"({100 * trained.validation_accuracy:.2f} % in validation); threshold {trained.threshold:.4f}"
    )
    err.print(f"wrote {output}")
