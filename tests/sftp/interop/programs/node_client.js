// SPDX-License-Identifier: Apache-2.0
// Carries out steps with ssh2-sftp-client; see clients_foreign.py.
"use strict";
const fs = require("node:fs");
const path = require("node:path");
const Client = require(path.join(process.argv[2], "ssh2-sftp-client"));

// Files from here on go with many requests under way at a time, and so out of order.
const FAST_BYTES = 1024 * 1024;

const DEEDS = {
  Put: (sftp, { local, remote }) =>
    fs.statSync(local).size < FAST_BYTES ? sftp.put(local, remote) : sftp.fastPut(local, remote),
  Get: async (sftp, { remote, local }) =>
    (await sftp.stat(remote)).size < FAST_BYTES
      ? sftp.get(remote, local)
      : sftp.fastGet(remote, local),
  Resume: async (sftp, { local, remote }) => {
    const { size } = await sftp.stat(remote);
    await sftp.append(fs.createReadStream(local, { start: size }), remote);
  },
  PutTree: (sftp, { local, remote }) => sftp.uploadDir(local, remote),
  GetTree: (sftp, { remote, local }) => sftp.downloadDir(remote, local),
  Rename: (sftp, { old, new: target }) => sftp.rename(old, target),
  List: async (sftp, { path: directory }) =>
    (await sftp.list(directory)).map((entry) => entry.name),
  MakeDirectory: (sftp, { path: directory }) => sftp.mkdir(directory),
  RemoveDirectory: (sftp, { path: directory }) => sftp.rmdir(directory),
  Remove: (sftp, { path: file }) => sftp.delete(file),
};

async function main() {
  const request = JSON.parse(fs.readFileSync(0, "utf8"));
  const { host, port, username } = request;
  const sftp = new Client();
  await sftp.connect({ host, port, username, privateKey: fs.readFileSync(request.key) });
  const listings = [];
  for (const step of request.steps) {
    const result = await DEEDS[step.do](sftp, step);
    if (step.do === "List") {
      listings.push(result);
    }
  }
  await sftp.end();
  process.stdout.write(JSON.stringify(listings));
}

main().catch((fault) => {
  process.stderr.write(`${fault.stack}\n`);
  process.exit(1);
});
