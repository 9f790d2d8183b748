#!/usr/bin/env node
// A long-running program of the AWS SDK for JavaScript: a call to STS for each line that it reads.

import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

// The SDK lives outside of the tree, where an import would not find it.
const require = createRequire(pathToFileURL(`${process.env.JAVASCRIPT}/package.json`));
const { GetCallerIdentityCommand, STSClient } = require("@aws-sdk/client-sts");

say({ version: require("@aws-sdk/client-sts/package.json").version });
const sts = new STSClient({});
let key;
// What signed it, as the request says.
sts.middlewareStack.addRelativeTo(
  (next) => (args) => {
    key = /Credential=([^/]+)/.exec(args.request.headers.authorization)?.[1];
    return next(args);
  },
  { relation: "after", toMiddleware: "httpSigningMiddleware" },
);
for await (const _ of createInterface({ input: process.stdin })) {
  try {
    const { Arn } = await sts.send(new GetCallerIdentityCommand({}));
    say({ arn: Arn, key });
  } catch (error) {
    say({ error: `${error.name}: ${error.message}` });
  }
}

function say(what) {
  console.log(JSON.stringify(what));
}
