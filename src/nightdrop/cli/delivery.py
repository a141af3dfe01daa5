# SPDX-License-Identifier: Apache-2.0
"""`nightdrop delivery`: what was delivered, and what became of it."""

import typer

from nightdrop.cli.errors import explain
from nightdrop.cli.session import open_database, print_json, print_table
from nightdrop.core.delivery.report import as_json, write_report_text
from nightdrop.core.epochs import NotAnEpochName
from nightdrop.db.access import find_delivery, find_district
from nightdrop.services.deliveries import list_deliveries
from nightdrop.services.reports import report_delivery, summarise_delivery
from nightdrop.services.scan import find_misnamed
from nightdrop.storage.tree import Tree

app = typer.Typer(no_args_is_help=True, add_completion=False)


@app.callback()
def group() -> None:
    """See what was delivered and what became of it.

    Example: nightdrop delivery list applegrove.org
    """


@app.command("list")
def list_all(
    context: typer.Context,
    username: str,
    for_scripts: bool = typer.Option(False, "--json", help="For scripts."),
) -> None:
    """List a district's deliveries, newest first.

    Example: nightdrop delivery list applegrove.org --json
    """
    config = open_database(context)
    district = find_district(username)
    found = list_deliveries(district.id)
    if for_scripts:
        print_json([summarise_delivery(delivery) for delivery in found])
        return
    print_table(
        ("ID", "EPOCH", "STATE", "SEALED (UTC)", "FINDINGS"),
        [
            (
                d.id,
                d.epoch,
                d.state,
                f"{d.sealed_at:%Y-%m-%d %H:%M:%S}",
                sum(d.finding_counts.values()),
            )
            for d in found
        ],
    )
    for name in find_misnamed(Tree(config.tree), district.id):
        typer.echo(
            f"note: /upload/{name} holds a marker, but {explain(NotAnEpochName(name))}", err=True
        )


@app.command()
def show(
    context: typer.Context,
    delivery: str = typer.Argument(metavar="ID"),
    for_scripts: bool = typer.Option(False, "--json", help="For scripts."),
) -> None:
    """Show one delivery as its report does.

    Example: nightdrop delivery show 6f0c1d1e-... --json
    """
    open_database(context)
    report = report_delivery(find_delivery(delivery))
    if for_scripts:
        print_json(as_json(report))
        return
    typer.echo(write_report_text(report))
