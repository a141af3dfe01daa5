# SPDX-License-Identifier: Apache-2.0
"""PuTTY's `psftp` and `lftp`: a script of commands is one visit."""

import shlex
from collections.abc import Mapping, Sequence

from sftp.interop.client_steps import (
    Client,
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

_LISTING = "Listing directory "
_END_OF_LISTING = "--end--"


_PSFTP: Mapping[type[Step], str] = {
    Put: 'put "{step.local}" "{step.remote}"',
    Get: 'get "{step.remote}" "{step.local}"',
    Resume: 'reput "{step.local}" "{step.remote}"',
    PutTree: 'put -r "{step.local}" "{step.remote}"',
    GetTree: 'get -r "{step.remote}" "{step.local}"',
    Rename: 'mv "{step.old}" "{step.new}"',
    List: 'ls "{step.path}"',
    MakeDirectory: 'mkdir "{step.path}"',
    RemoveDirectory: 'rmdir "{step.path}"',
    Remove: 'rm "{step.path}"',
}
_LFTP: Mapping[type[Step], str] = {
    Put: 'put "{step.local}" -o "{step.remote}"',
    Get: 'get "{step.remote}" -o "{step.local}"',
    Resume: 'put -c "{step.local}" -o "{step.remote}"',
    PutTree: 'mirror -R -P 3 "{step.local}" "{step.remote}"',
    GetTree: 'mirror -P 3 "{step.remote}" "{step.local}"',
    Rename: 'mv "{step.old}" "{step.new}"',
    List: f'cls -1 "{{step.path}}"; echo {_END_OF_LISTING}',
    MakeDirectory: 'mkdir "{step.path}"',
    RemoveDirectory: 'rmdir "{step.path}"',
    Remove: 'rm "{step.path}"',
}


class Psftp(Client):
    """PuTTY's key comes from `puttygen`, and the host keys are named."""

    name = "psftp"
    needs = {"psftp": "putty-tools", "puttygen": "putty-tools"}

    def visit(self, visitor: Visitor, steps: Sequence[Step]) -> Listings:
        key = visitor.home / "key.ppk"
        run_program(["puttygen", visitor.key, "-o", key, "-O", "private"], visitor)
        script = visitor.home / "commands"
        script.write_text(write_script(_PSFTP, steps))
        known = [part for line in visitor.fingerprints for part in ("-hostkey", line)]
        printed = run_program(
            ["psftp", "-batch", "-P", str(visitor.port), "-i", key, "-b", script, *known,
             f"{visitor.username}@127.0.0.1"],
            visitor,
        )  # fmt: skip
        listings: Listings = []
        for line in printed.splitlines():
            if line.startswith(_LISTING):
                listings.append([])
            elif listings and line[:1] in "d-":
                listings[-1].append(line.split()[-1])
        return listings


class Lftp(Client):
    """It speaks SFTP itself, through OpenSSH's `ssh`; trees go over three connections."""

    name = "lftp"
    needs = {"lftp": "lftp", "ssh": "openssh-client"}

    def visit(self, visitor: Visitor, steps: Sequence[Step]) -> Listings:
        connect = shlex.join(["ssh", "-a", "-x", *visitor.openssh_options])
        script = [
            "set cmd:fail-exit true",
            "set net:max-retries 1",
            f"set sftp:connect-program {shlex.quote(connect)}",
            f"open -p {visitor.port} -u {visitor.username}, sftp://127.0.0.1",
            write_script(_LFTP, steps),
        ]
        printed = run_program(["lftp", "--norc", "-c", "\n".join(script)], visitor)
        *sections, _ = printed.split(_END_OF_LISTING)
        return [base_names(section.splitlines()) for section in sections]
