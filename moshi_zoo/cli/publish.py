"""The verb ``publish``: a model's folder to the hub."""

import tempfile
from pathlib import Path


def publish(
    name_or_dir: str, *, to: str, private: bool = False, licence: str | None = None, dry_run: bool = False
) -> None:
    """Upload a model to the Hugging Face hub, in one commit.

    Needs HF_TOKEN. Files that are no part of a model stay here.

    Args:
        name_or_dir: name or folder of a model, or a folder that `export --format hf` wrote.
        to: repository, owner/name; made if there is none.
        private: make one that only you can see.
        licence: of the weights, where the folder does not name one.
        dry_run: show what would be uploaded, and upload nothing.
    """
    from moshi_zoo.zoo import hf_folder, publish, uri

    path = Path(name_or_dir)
    if not (path / hf_folder.CONFIG).is_file():
        path = uri.resolve(name_or_dir)
    plan = publish.plan(path, licence)
    with tempfile.TemporaryDirectory() as scratch:
        if licence is not None:
            plan = publish.relicensed(plan, path, Path(scratch))
        print(f"{path} -> {to}, licence {plan.licence}, {plan.num_bytes / 1e6:.1f} MB")
        for name, file in plan.files.items():
            print(f"  {name:<30} {file.stat().st_size / 1e6:10.3f} MB")
        for name in plan.left_out:
            print(f"  {name:<30} stays here")
        if dry_run:
            print("nothing was uploaded (--dry-run)")
        else:
            print(publish.upload(plan, to, private=private, message=f"moshi_zoo publish {path.name}"))
