// Which credentials the SDK for JavaScript takes, in one environment after the other: a JSON object of
// variables a line.
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const require = createRequire(`${process.env.JAVASCRIPT}/`);
const { STSClient } = require("@aws-sdk/client-sts");
const kept = { PATH: process.env.PATH };

for await (const line of createInterface({ input: process.stdin })) {
    for (const name of Object.keys(process.env)) delete process.env[name];
    Object.assign(process.env, kept, JSON.parse(line));
    let said;
    try {
        const credentials = await new STSClient({ maxAttempts: 1 }).config.credentials();
        said = { key: credentials.accessKeyId };
    } catch (error) {
        said = { error: `${error.name}: ${error.message}` };
    }
    console.log(JSON.stringify(said));
}
