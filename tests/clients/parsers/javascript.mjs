// For files.py: what the AWS SDK for JavaScript reads in the files named on standard input.
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const require = createRequire(`${process.argv[2]}/node_modules/`);
const { loadSharedConfigFiles } = require("@smithy/shared-ini-file-loader");

for await (const filepath of createInterface({ input: process.stdin })) {
    const files = await loadSharedConfigFiles({ filepath, configFilepath: "/dev/null", ignoreCache: true });
    console.log(JSON.stringify(files.credentialsFile));
}
