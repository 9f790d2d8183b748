#!/usr/bin/env node
// The EC2 instance that the lab plays, and its container, by the AWS SDK for JavaScript, version 3.
// Run by run.sh, which says where the lab is and where the SDK is.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { isDeepStrictEqual } from "node:util";
import { pathToFileURL } from "node:url";

// The SDK lives outside of the tree, where an import would not find it.
const require = createRequire(pathToFileURL(`${process.env.JAVASCRIPT}/package.json`));
const { GetCallerIdentityCommand, STSClient } = require("@aws-sdk/client-sts");
const { ListBucketsCommand, S3Client } = require("@aws-sdk/client-s3");
const { fromHttp, fromInstanceMetadata } = require("@aws-sdk/credential-providers");

const ROLE = "arn:aws:sts::000000000000:assumed-role/SSMServiceRole";
const MINUTE = 60 * 1000;

// What the lab prints as comments.
const given = Object.fromEntries(
  [...readFileSync(`${process.env.SCRATCH}/lab.env`, "utf8").matchAll(/^# export (\w+)=(.*)$/gm)].map(
    ([, name, value]) => [name, value],
  ),
);
let failures = 0;

async function main() {
  await checkInstance();
  await checkContainer();
  process.exit(failures ? 1 : 0);
}

async function checkInstance() {
  process.env.AWS_EC2_METADATA_DISABLED = "false";
  process.env.AWS_EC2_METADATA_SERVICE_ENDPOINT = given.AWS_EC2_METADATA_SERVICE_ENDPOINT;
  const credentials = fromInstanceMetadata({ maxRetries: 0 });
  equal("the SDK is the instance", await arn(credentials), `${ROLE}/i-1234567890abcdef0`);
  equal("which may list buckets", await buckets(credentials), ["rolekeeper-lab"]);
  const { expiration } = await credentials();
  equal("half an hour is left at least", expiration - Date.now() > 29 * MINUTE, true);
}

async function checkContainer() {
  const awsContainerCredentialsFullUri = given.AWS_CONTAINER_CREDENTIALS_FULL_URI;
  const from = (options) => fromHttp({ awsContainerCredentialsFullUri, maxRetries: 0, ...options });
  const awsContainerAuthorizationToken = given.AWS_CONTAINER_AUTHORIZATION_TOKEN;
  const credentials = from({ awsContainerAuthorizationToken });
  const task = "1234567890abcdef1234567890abcdef";
  equal("the SDK is the container", await arn(credentials), `${ROLE}/${task}`);
  equal("which may list buckets", await buckets(credentials), ["rolekeeper-lab"]);
  for (const [what, options, code] of [
    ["without a token", {}, "MissingAuthenticationToken"],
    ["with a wrong one", { awsContainerAuthorizationToken: "wrong" }, "AccessDenied"],
  ]) {
    const refusal = await from(options)().then(() => "credentials", (error) => error);
    equal(`${what} it hears why`, refusal.Code ?? refusal, code);
  }
}

async function arn(credentials) {
  const { Arn } = await new STSClient({ credentials }).send(new GetCallerIdentityCommand({}));
  return Arn;
}

async function buckets(credentials) {
  const { Buckets } = await new S3Client({ credentials }).send(new ListBucketsCommand({}));
  return Buckets.map((bucket) => bucket.Name);
}

function equal(what, found, expected) {
  if (isDeepStrictEqual(found, expected)) {
    console.log(`ok   ${what}`);
  } else {
    console.error(`FAIL ${what}: expected ${JSON.stringify(expected)}, found`, found);
    failures += 1;
  }
}

main();
