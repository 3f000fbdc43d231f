"""The verb ``chain``: the stages of a recipe in order, each from the results before it."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from moshi_zoo.cli.chain_recipe import Chain
    from moshi_zoo.cli.chain_record import Record
    from moshi_zoo.cli.chain_run import Command


def chain(
    recipe: Path,
    *,
    run_name: str | None = None,
    from_step: str | None = None,
    only_step: str | None = None,
    set: list[str] | None = None,
    dry_run: bool = False,
) -> None:
    """Run the stages of a chain in order, each from the results of those before it.

    What is done and unchanged is skipped, what broke goes on where it stopped, what has changed is done anew, and so is
    what comes from it; earlier results are moved aside, never deleted. The results are in runs/NAME/STEP.

    Args:
        recipe: the chain, such as recipes/nano/chain.yaml; moshi_zoo/cli/chain_recipe.py explains the format.
        run_name: name of the chain's folder in runs/, if not the one in the recipe.
        from_step: do this step and those behind it, even if they are done.
        only_step: do this step alone, even if it is done.
        set: options of steps to set, as STEP.OPTION=VALUE, such as mimi.trainer.max_steps=100.
        dry_run: show what would be done, and why.
    """
    from moshi_zoo.cli.chain_recipe import read_chain
    from moshi_zoo.cli.chain_record import Record, locked
    from moshi_zoo.cli.chain_run import check, check_parents, in_own_process, plan

    steps = read_chain(recipe, run_name=run_name, changes=set)
    chosen = _chosen(steps, from_step, only_step)
    if chosen is not None:
        check_parents(steps, Record(steps.folder), chosen)
    for step, decision in plan(steps, Record(steps.folder), chosen):
        if decision.action != "skip":
            check(step)
    if dry_run:
        show_plan(steps, Record(steps.folder), chosen)
        return
    with locked(steps.folder) as lock:
        code = run_and_report(steps, Record(steps.folder), in_own_process(lock), chosen)
    if code:
        raise SystemExit(code)


def show_plan(chain: "Chain", record: "Record", chosen: list[str] | None) -> None:
    """Print what would be done and why, with the commands."""
    from moshi_zoo.cli.chain_run import plan, typed, words_of

    for number, (step, decision) in enumerate(plan(chain, record, chosen), start=1):
        print(f"[{number}/{len(chain.steps)}] {step.name}: {decision.action} ({decision.reason})")
        if decision.action != "skip":
            print(f"    {typed(words_of(step, decision))}")


def run_and_report(chain: "Chain", record: "Record", command: "Command", chosen: list[str] | None) -> int:
    """Run a chain and print the table of its steps.

    Returns:
        The exit code of the step that failed, or 0.
    """
    from rich.console import Console
    from rich.table import Table

    from moshi_zoo.cli.chain_run import run

    outcomes = {}
    for step, outcome in run(chain, record, command, chosen=chosen):
        outcomes[step.name] = outcome
    table = Table("step", "status", "minutes", "result", title=f"The chain {chain.folder}", title_justify="left")
    for step in chain.steps:
        if outcome := outcomes.get(step.name):
            minutes = f"{outcome.seconds / 60:.1f}" if outcome.seconds else ""
            table.add_row(step.name, outcome.status, minutes, "" if outcome.code else str(step.folder))
        else:
            table.add_row(step.name, "not reached", "", "")
    print(flush=True)
    Console().print(table)
    failed = next((name for name, outcome in outcomes.items() if outcome.code), None)
    if failed:
        print(f"The step {failed!r} is not done; the same command goes on from there.", flush=True)
    return outcomes[failed].code if failed else 0


def _chosen(chain: "Chain", from_step: str | None, only_step: str | None) -> list[str] | None:
    if from_step and only_step:
        raise ValueError("give --from-step or --only-step, not both")
    if only_step:
        return [chain[only_step].name]
    if from_step:
        return [step.name for step in chain.steps[chain.steps.index(chain[from_step]) :]]
    return None
