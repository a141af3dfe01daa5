# SPDX-License-Identifier: Apache-2.0
"""Serves a walk through the console and tells what it read of the code, for `test_preload`.

Arguments: the name of the database; the path of an invitation's link; a password.
Prints each file below the directories of the code that was looked for after preloading.
"""

import re
import sys
import sysconfig
from pathlib import Path
from typing import Any
from uuid import uuid4

from django.conf import settings
from django.db import connections
from django.test import Client

import nightdrop
from nightdrop.web.main import preload_web
from nightdrop.web.static_files import publish_static_files
from web.cast import code_for

CODE = tuple(
    str(Path(place).resolve())
    for place in (
        sysconfig.get_path("purelib"),
        sysconfig.get_path("stdlib"),
        Path(nightdrop.__file__).parent,
    )
)


def main(database: str, link: str, password: str) -> None:
    """Preload, listen, walk."""
    preload_web()
    settings.SECRET_KEY = uuid4().hex
    publish_static_files()
    for alias in connections:
        connections[alias].settings_dict["NAME"] = database
    client = Client(SERVER_NAME="localhost", raise_request_exception=False)
    # Makes the middleware, as the start of the master does before it forks.
    client.get("/healthz")
    touched: set[str] = set()

    def listen(event: str, args: tuple[object, ...]) -> None:
        if event in {"open", "os.listdir", "os.scandir"} and isinstance(args[0], str):
            path = str(Path(args[0]).absolute())
            if path.startswith(CODE):
                touched.add(path)

    sys.addaudithook(listen)
    walk(client, link, password)
    sys.stdout.writelines(f"{path}\n" for path in sorted(touched))


def walk(client: Client, link: str, password: str) -> None:
    """Meet every kind of page: forms, mistakes, pictures, failures, a stranger's and ours."""
    expect(client.get("/readyz"), 503)
    expect(client.get("/"), 302)
    expect(client.get("/nothing"), 404)
    expect(client.get("/account/login/"), 200)
    expect(client.post("/account/login/", {"login": "a@b.example", "password": "no"}), 200)
    expect(client.get("/account/signup/"), 200)
    expect(client.get("/invitations/unknown"), 404)
    expect(client.get(link), 302)
    form = {"name": "Noor", "password1": "123", "password2": "1234"}
    expect(client.post("/account/signup/", form), 200)
    form = {"name": "Noor", "password1": password, "password2": password}
    expect(client.post("/account/signup/", form), 302)
    page = expect(client.get("/account/factors/app/activate/"), 200)
    secret = re.search(r'value="([A-Z2-7]{32})"', page.content.decode())
    code = code_for(secret[1] if secret else "")
    expect(client.post("/account/factors/app/activate/", {"code": code}), 302)
    expect(client.get("/account/factors/codes/"), 200)
    expect(client.get("/account/factors/"), 200)
    expect(client.get("/account/password/"), 200)
    expect(client.get("/"), 200)
    expect(client.post("/account/logout/"), 302)
    expect(Client(SERVER_NAME="evil.example").get("/", secure=True), 400)
    strict = Client(SERVER_NAME="localhost", enforce_csrf_checks=True)
    expect(strict.post("/account/login/"), 403)


def expect(response: Any, status: int) -> Any:  # noqa: ANN401 - the test client's own type
    """Stop the walk where it does not go as it should."""
    if response.status_code != status:
        raise SystemExit(f"{response} instead of {status}")
    return response


if __name__ == "__main__":
    main(*sys.argv[1:])
