"""``nerwin evaluate``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nerwin.cli.console import scores_table, show_log
from nerwin.cli.models import with_others
from nerwin.errors import ConfigError

if TYPE_CHECKING:
    from nerwin.ensemble import Ensemble
    from nerwin.model import Model


@click.command("evaluate")
@click.argument("paths", nargs=-1, required=True, metavar="[RUN] FILE")
@click.option(
    "--json", "as_json", is_flag=True, help="Print JSON, with fractions instead of percent."
)
@click.option(
    "--token-column", type=int, help="Column of the token.  [default: as in training, or 0]"
)
@click.option(
    "--tag-column", type=int, help="Column of the gold tag.  [default: as in training, or −2]"
)
@click.option(
    "--predicted-column",
    type=int,
    help="Column of the predicted tag, without RUN.  [default: −1]",
)
@with_others
@click.option("--encoding", help="Encoding of the file.  [default: as in training, or utf-8]")
def command(
    paths: tuple[str, ...],
    as_json: bool,
    token_column: int | None,
    tag_column: int | None,
    predicted_column: int | None,
    others: tuple[str, ...],
    encoding: str | None,
) -> None:
    """Measure precision, recall and F1 against gold entities.

    With RUN, the folder of a trained model, FILE is a column file with gold tags, in which the
    model finds the entities. Without, FILE has predicted tags too: gold in the last column but
    one, predicted in the last, as conlleval reads them. An entity counts as right if its borders
    and its type are. With RUN, the calibration error too: how far the entities' scores are from
    the share that is right.

    \b
    nerwin evaluate runs/demo gold.conll
    nerwin evaluate gold-and-predicted.conll --json
    """
    if len(paths) > 2:
        raise click.UsageError("expected [RUN] FILE, and no more")
    if len(paths) == 2 and predicted_column is not None:
        raise ConfigError("--predicted-column is for a file with predictions: leave RUN out")
    if len(paths) == 1 and others:
        raise ConfigError("--with is for a model: name its RUN first")
    if not Path(paths[-1]).exists():
        raise ConfigError(f"{paths[-1]}: no such file")
    show_log()
    asked: dict[str, Any] = {"token_column": token_column, "tag_column": tag_column}
    asked |= {"encoding": encoding}
    given = {name: value for name, value in asked.items() if value is not None}
    if len(paths) == 2:
        from nerwin.modeldir import load_models

        model = load_models([paths[0], *others])
        scores = _of_model(model, Path(paths[0]), paths[1], given)
    else:
        column = -1 if predicted_column is None else predicted_column
        scores = _of_columns(paths[0], column, given)
    if as_json:
        click.echo(json.dumps(scores, indent=2))
    else:
        click.echo(scores_table(scores))
        click.echo(f"\naccuracy {100 * scores['accuracy']:.2f}% of tokens")
        if scores["calibration_error"] is not None:
            error = f"{100 * scores['calibration_error']:.2f}%"
            click.echo(f"expected calibration error of the entities' scores {error}")


def _of_model(
    model: Model | Ensemble, run: Path, file: str, given: dict[str, Any]
) -> dict[str, Any]:
    import dataclasses

    from nerwin.evaluation import evaluate
    from nerwin.gold import read_gold
    from nerwin.manifest import read_manifest

    gold = read_gold(file, dataclasses.replace(read_manifest(run).config.data, **given))
    return evaluate(model, gold).as_dict()


def _of_columns(file: str, predicted_column: int, given: dict[str, Any]) -> dict[str, Any]:
    from nerwin.evaluation import score
    from nerwin.text.corpus import read_corpus
    from nerwin.text.tags import read_tags, without_bilou

    columns = (given.pop("tag_column", -2), predicted_column)
    corpus = read_corpus(file, tag_columns=columns, **given)
    columns_of_tags = [without_bilou(tags) for tags in corpus.tags]
    gold, predicted = (read_tags(tags, corpus.starts) for tags in columns_of_tags)
    return score(gold, predicted, *columns_of_tags).as_dict()
