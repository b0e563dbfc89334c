"""What ``visard evaluate`` shows."""

from rich.table import Table

from visard import owner
from visard.cli.output import err, out
from visard.rates import percent


def show(report: "owner.evaluation.report.Report") -> None:
    """Everything, as tables and lines."""
    table = Table(title=f"{report.genuine} genuine and {report.impostors} impostor pairs of the list")
    rates = next(iter(report.figures.values())).tar_at_far
    for heading in ("", "accuracy, 10 folds", "EER", *(f"TAR at FAR {percent(float(rate))}" for rate in rates)):
        table.add_column(heading)
    for name, figures in report.figures.items():
        table.add_row(name, *map(str, (figures.accuracy, figures.equal_error_rate, *figures.tar_at_far.values())))
    out.print(table)
    out.print("in brackets 95 % intervals, people drawn anew")
    out.print(
        f"failures to capture: {report.failures_to_capture} of {report.images} images; error rates leave them out, "
        "false rejects and accepts count them as refusals"
    )
    if report.refused_by_mean is not None:
        out.print(
            f"photos that the test against the mean refuses: {report.refused_by_mean} (never a match, in all rates)"
        )
    out.print(_points("operating points, all comparisons of the photos", report.points))
    if report.second:
        out.print(_points("operating points on the second set", report.second))
    if report.twin is not None:
        differ = ", ".join(f"{count} at {point}" for point, count in report.twin.decisions_differ.items())
        out.print(f"fixed-point twin, {report.twin.pairs} pairs: decisions that differ from float: {differ}")
    if report.identification is not None:
        out.print(_identification(report.identification))
    if report.groups:
        out.print(_groups(report.groups))
    if report.calibration is not None:
        _calibration(report.calibration)
    if report.secure is not None:
        s = report.secure
        out.print(
            f"secure, {s.pairs} pairs at {s.operating_point}: accuracy {s.accuracy}; {s.differ_from_float} decisions differ "
            f"from float, {s.differ_from_twin} from the twin; {s.seconds:.2f} s a pair"
        )
    if report.attack is not None:
        show_attack(report.attack)


def _where(distance: float, cosine: float | None) -> str:
    return f"{distance:g}" if cosine is None else f"{distance:g} (cosine {cosine:.3f})"


def _points(title: str, points: "dict[str, owner.evaluation.report.Point]") -> Table:
    table = Table(title=title)
    for heading in ("", "distance", "false matches", "of", "false non-matches", "of", "false rejects", "false accepts"):
        table.add_column(heading)
    for name, found in points.items():
        counts = str(found.fmr), str(found.impostors), str(found.fnmr), str(found.genuine)
        whole = percent(found.false_reject_rate), percent(found.false_accept_rate)
        table.add_row(name, _where(found.distance, found.cosine), *counts, *whole)
    return table


def _identification(found: "owner.evaluation.identification.Identification") -> Table:
    title = (
        f"identification: {found.galleries} random galleries of {found.gallery} people, a photo each; {found.strangers}"
    )
    table = Table(title=f"{title} probes of people left out, {found.mates} of people in it")
    for heading in ("", "distance", "FPIR", "by the point's FMR", "FNIR"):
        table.add_column(heading)
    for name, rates in found.points.items():
        expected = percent(rates.expected) if rates.expected is not None else "unknown"
        table.add_row(name, f"{rates.distance:g}", str(rates.fpir), expected, str(rates.fnir))
    return table


def _groups(points: "dict[str, owner.evaluation.groups.Differential]") -> Table:
    table = Table(title="by group: strangers of the same group")
    for heading in ("", "group", "people", "false matches", "of", "false non-matches", "of"):
        table.add_column(heading)
    for name, found in points.items():
        for group, rates in found.groups.items():
            counts = str(rates.fmr), str(rates.impostors), str(rates.fnmr), str(rates.genuine)
            table.add_row(name, group, str(rates.people), *counts)
        ratios = (
            f"{ratio:.1f}" if ratio is not None else "the best has none"
            for ratio in (found.fmr_ratio, found.fnmr_ratio)
        )
        fmr, fnmr = ratios
        table.add_row(name, "worst / best", "", fmr, "", fnmr, "")
    return table


def _calibration(found: "owner.evaluation.calibration.Calibration") -> None:
    second = f", {found.second_comparisons} of the second set" if found.second_comparisons else ""
    table = Table(title=f"calibrated: {found.comparisons} comparisons of {found.people} people{second}")
    for heading in (
        "",
        "distance",
        "margin",
        "rests on",
        "people not calibrated on: false matches",
        "false non-matches",
    ):
        table.add_column(heading)
    for name, point in found.points.items():
        margin = f"{point.shift:.4f}" if found.second_comparisons else "none"
        if point.factor is not None:
            margin += f" (without it {point.factor:.2g} times the rate)"
        rests = f"{point.false_matches} false matches" + (", the interval's end" if point.bounded else "")
        unseen = (str(point.unseen.fmr), str(point.unseen.fnmr)) if point.unseen else ("too few", "too few")
        table.add_row(name, _where(point.distance, point.cosine), margin, rests, *unseen)
    out.print(table)
    if found.default is not None:
        out.print(f"the default: {found.default}")


def show_attack(attack: "owner.evaluation.attack.Attack") -> None:
    """Its table, and warnings."""
    table = Table(
        title=f"images against {attack.test_people} people they were not made for ({attack.train_people} they were)"
        + (", the test against the mean known" if attack.mean_test else "")
    )
    sizes = list(next(iter(attack.covered.values())).images)
    names = ["one image" if size == 1 else f"the best {size}" for size in sizes]
    for heading in ("operating point", "distance", *names, "one, of its own", "one vector"):
        table.add_column(heading)
    for name, found in attack.covered.items():
        covered = [percent(each.others) for each in found.images.values()]
        own = percent(found.images[sizes[0]].own)
        table.add_row(name, f"{found.distance:g}", *covered, own, percent(found.vector.others))
    out.print(table)
    warn(attack)


def warn(attack: "owner.evaluation.attack.Attack") -> None:
    """On standard error, for every point at which one image passes as too many."""
    for name, found in attack.covered.items():
        if found.passes_as_many:
            err.print(
                f"warning: at {name} one image passes as {found.times:.0f} times as many people as a stranger does"
            )
