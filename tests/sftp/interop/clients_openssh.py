# SPDX-License-Identifier: Apache-2.0
"""OpenSSH's `sftp`, and its `scp`, which speaks SFTP since 9.0."""

from collections.abc import Mapping, Sequence

from sftp.interop.client_steps import (
    Client,
    Deed,
    Get,
    GetTree,
    List,
    Listings,
    MakeDirectory,
    Put,
    PutTree,
    Remove,
    RemoveDirectory,
    Rename,
    Resume,
    Step,
    Visitor,
    base_names,
    run_program,
    write_script,
)

_COMMANDS: Mapping[type[Step], str] = {
    Put: 'put "{step.local}" "{step.remote}"',
    Get: 'get "{step.remote}" "{step.local}"',
    Resume: 'reput "{step.local}" "{step.remote}"',
    PutTree: 'put -r "{step.local}" "{step.remote}"',
    GetTree: 'get -r "{step.remote}" "{step.local}"',
    Rename: 'rename "{step.old}" "{step.new}"',
    List: 'ls -1 "{step.path}"',
    MakeDirectory: 'mkdir "{step.path}"',
    RemoveDirectory: 'rmdir "{step.path}"',
    Remove: 'rm "{step.path}"',
}


class OpenSshSftp(Client):
    """One batch of `sftp` is one session."""

    name = "openssh-sftp"
    needs = {"sftp": "openssh-client"}

    def visit(self, visitor: Visitor, steps: Sequence[Step]) -> Listings:
        printed = run_program(
            ["sftp", "-b", "-", "-P", str(visitor.port), *visitor.openssh_options,
             f"{visitor.username}@127.0.0.1"],
            visitor, script=write_script(_COMMANDS, steps),
        )  # fmt: skip
        # A batch's commands are printed too, each before what it prints itself.
        sections = [section.splitlines() for section in printed.split("sftp> ")]
        return [base_names(lines[1:]) for lines in sections if lines and lines[0].startswith("ls")]


class OpenSshScp(Client):
    """One `scp` for each step: it copies, and nothing else."""

    name = "openssh-scp"
    needs = {"scp": "openssh-client"}
    cannot = {
        Deed.RESUME: "scp always begins anew",
        Deed.RENAME: "scp copies only",
        Deed.LIST: "scp copies only",
        Deed.FOLDERS: "scp makes directories only on the way of a tree",
        Deed.REMOVE: "scp copies only",
        Deed.SEAL_BY_RENAME: "scp copies only",
    }

    def visit(self, visitor: Visitor, steps: Sequence[Step]) -> Listings:
        there = f"{visitor.username}@127.0.0.1:"
        for step in steps:
            match step:
                case Put(local, remote) | PutTree(local, remote):
                    ends = [str(local), f"{there}{remote}"]
                case Get(remote, local) | GetTree(remote, local):
                    ends = [f"{there}{remote}", str(local)]
                case _:
                    raise ValueError(f"scp has no command for {step}")
            is_tree = isinstance(step, PutTree | GetTree)
            command = ["scp", "-s", *(["-r"] if is_tree else []), "-P", str(visitor.port)]
            run_program([*command, *visitor.openssh_options, *ends], visitor)
        return []
