# SPDX-License-Identifier: Apache-2.0
"""`nightdrop delivery`: what was delivered, and what became of it."""

import typer

from nightdrop.cli.session import open_database, print_json, print_table
from nightdrop.core.delivery.report import as_json, write_report_text
from nightdrop.db.access import find_delivery, find_district
from nightdrop.services.deliveries import list_deliveries
from nightdrop.services.reports import report_delivery, summarise_delivery

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
    open_database(context)
    found = list_deliveries(find_district(username).id)
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
