// A machine outside AWS: directories of its own and the real programs.

import { spawn, spawnSync } from "node:child_process";
import { mkdirSync, openSync, writeFileSync } from "node:fs";
import { join } from "node:path";

export class Machine {
  constructor(directory, endpointUrl) {
    mkdirSync(directory);
    const settings = join(directory, "rolekeeper.toml");
    writeFileSync(settings, `[service]\nendpoint_url = "${endpointUrl}"\ntimeout = "2s"\n`);
    this.log = join(directory, "log");
    this.environment = {
      PATH: process.env.PATH,
      ROLEKEEPER_CONFIG: settings,
      STATE_DIRECTORY: join(directory, "state"),
      RUNTIME_DIRECTORY: join(directory, "run"),
    };
  }

  // A line as it is pasted into a shell.
  paste(line) {
    const { status, stdout, stderr } = spawnSync("sh", ["-c", line], { env: this.environment, encoding: "utf8" });
    if (status !== 0) throw new Error(`${line}\n${stderr}`);
    return stdout.trim();
  }

  // Whether the service gave new credentials.
  refresh() {
    return spawnSync("rolekeeper", ["refresh"], { env: this.environment }).status === 0;
  }

  run() {
    const log = openSync(this.log, "a");
    this.daemon = spawn("rolekeeper", ["run"], { env: this.environment, stdio: ["ignore", log, log] });
  }

  async stop() {
    if (!this.daemon) return;
    const ended = new Promise((resolve) => this.daemon.on("exit", resolve));
    this.daemon.kill();
    await ended;
    this.daemon = undefined;
  }
}
