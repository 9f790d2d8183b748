#!/usr/bin/env node
// A long-running program of the AWS SDK for JavaScript: a call to STS for each line that it reads, by a
// new client where the line says so.

import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

// The SDK lives outside of the tree, where an import would not find it.
const require = createRequire(pathToFileURL(`${process.env.JAVASCRIPT}/package.json`));
const { GetCallerIdentityCommand, STSClient } = require("@aws-sdk/client-sts");

say({ version: require("@aws-sdk/client-sts/package.json").version });
let sts = client();
let key;
for await (const line of createInterface({ input: process.stdin })) {
  try {
    if (line === "anew") {
      sts = client();
    }
    const { Arn } = await sts.send(new GetCallerIdentityCommand({}));
    say({ arn: Arn, key });
  } catch (error) {
    say({ error: `${error.name}: ${error.message}` });
  }
}

function client() {
  const made = new STSClient({});
  // What signed it, as the request says.
  made.middlewareStack.addRelativeTo(
    (next) => (args) => {
      key = /Credential=([^/]+)/.exec(args.request.headers.authorization)?.[1];
      return next(args);
    },
    { relation: "after", toMiddleware: "httpSigningMiddleware" },
  );
  return made;
}

function say(what) {
  console.log(JSON.stringify(what));
}
