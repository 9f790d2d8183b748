#!/usr/bin/env node
// The lab by the AWS SDK for JavaScript, version 3: control plane, STS, S3, modelled errors and their
// metadata, and what the SDK does by itself when the service misbehaves. Run by run.sh, which says
// where the lab is and where the SDK is.
//
// lab options: --roles roles.toml

import { execFileSync } from "node:child_process";
import { isDeepStrictEqual } from "node:util";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

// The SDK lives outside of the tree, where an import would not find it.
const require = createRequire(pathToFileURL(`${process.env.JAVASCRIPT}/package.json`));
const ssm = require("@aws-sdk/client-ssm");
const sts = require("@aws-sdk/client-sts");
const s3 = require("@aws-sdk/client-s3");
const { fromEnv, fromTemporaryCredentials } = require("@aws-sdk/credential-providers");

const READER = "arn:aws:iam::000000000000:role/Reader";
const HOUR = 3600 * 1000;

let failures = 0;

async function main() {
  await checkActivations();
  await checkErrors();
  await checkIdentity();
  await checkBuckets();
  await checkThrottling();
  await checkBrokenAnswers();
  await checkClocks();
  process.exit(failures ? 1 : 0);
}

async function checkActivations() {
  const client = new ssm.SSMClient({});
  const made = [];
  for (let number = 0; number < 5; number++) {
    const asked = { IamRole: "Web", Tags: [{ Key: "Größe", Value: `${number}` }] };
    made.push((await client.send(new ssm.CreateActivationCommand(asked))).ActivationId);
  }
  const listed = [];
  const pages = [];
  for await (const page of ssm.paginateDescribeActivations({ client, pageSize: 2 }, {})) {
    pages.push(page.ActivationList.length);
    listed.push(...page.ActivationList);
  }
  equal("activations come in pages", pages, [2, 2, 1]);
  equal("each once", listed.map((one) => one.ActivationId).sort(), made.sort());
  const [first] = listed;
  equal("times are times", first.ExpirationDate - first.CreatedDate, 24 * HOUR);
  equal("tags are there", first.Tags[0].Key, "Größe");
  const nodes = await client.send(new ssm.DescribeInstanceInformationCommand({}));
  equal("no machine has registered", nodes.InstanceInformationList, []);
}

async function checkErrors() {
  const client = new ssm.SSMClient({});
  const gone = { ActivationId: "01234567-89ab-4cde-8f01-23456789abcd" };
  const error = await failure(client.send(new ssm.DeleteActivationCommand(gone)));
  equal("an error has its class", error instanceof ssm.InvalidActivation, true);
  equal("and its name", error.name, "InvalidActivation");
  equal("it is the client's", [error.$fault, error.$metadata.httpStatusCode], ["client", 400]);
  equal("it has its request's id", /^[0-9a-f-]{36}$/.test(error.$metadata.requestId), true);
  const tooLong = new ssm.CreateActivationCommand({ IamRole: "R".repeat(65) });
  const invalid = await failure(client.send(tooLong));
  equal("a bound is the service's to check", invalid.name, "ValidationException");
  const foreign = { accessKeyId: "AKIAIOSFODNN7EXAMPLE", secretAccessKey: "wrong" };
  const unknown = new ssm.SSMClient({ credentials: foreign });
  const refused = await failure(unknown.send(new ssm.DescribeActivationsCommand({})));
  equal("an unknown key", refused.name, "UnrecognizedClientException");
}

async function checkIdentity() {
  const client = new sts.STSClient({});
  const admin = await client.send(new sts.GetCallerIdentityCommand({}));
  equal("the administrator", admin.Arn, "arn:aws:iam::000000000000:user/lab-admin");
  const assumed = await client.send(
    new sts.AssumeRoleCommand({ RoleArn: READER, RoleSessionName: "one", DurationSeconds: 900 }),
  );
  const life = assumed.Credentials.Expiration - Date.now();
  equal("a session lasts as long as asked", life > 14 * 60000 && life <= 15 * 60000, true);
  const session = new sts.STSClient({ credentials: reader("two") });
  const identity = await session.send(new sts.GetCallerIdentityCommand({}));
  equal(
    "the SDK assumes a role by itself",
    identity.Arn,
    "arn:aws:sts::000000000000:assumed-role/Reader/two",
  );
  const nobody = new sts.AssumeRoleCommand({
    RoleArn: "arn:aws:iam::000000000000:role/Nobody",
    RoleSessionName: "one",
  });
  const denied = await failure(client.send(nobody));
  equal("a role that is not there", [denied.name, denied.$metadata.httpStatusCode], [
    "AccessDenied",
    403,
  ]);
  const { accessKeyId } = await fromEnv()();
  const wrong = new sts.STSClient({ credentials: { accessKeyId, secretAccessKey: "wrong" } });
  const mismatch = await failure(wrong.send(new sts.GetCallerIdentityCommand({})));
  equal("a wrong secret", mismatch.name, "SignatureDoesNotMatch");
  equal("comes with what was to be signed", /String-to-Sign/.test(mismatch.message), true);
}

async function checkBuckets() {
  const client = new s3.S3Client({ credentials: reader("s3"), forcePathStyle: true });
  const buckets = await client.send(new s3.ListBucketsCommand({}));
  const names = buckets.Buckets.map((one) => one.Name);
  equal("buckets", names, ["backups", "rolekeeper-lab", "secrets"]);
  await client.send(new s3.HeadBucketCommand({ Bucket: "backups" }));
  const keys = [];
  const config = { client, pageSize: 2 };
  for await (const page of s3.paginateListObjectsV2(config, { Bucket: "backups" })) {
    keys.push(page.Contents.map((one) => one.Size / 1048576));
  }
  equal("objects come in pages", keys, [[1, 2], [4]]);
  const denied = await failure(client.send(new s3.ListObjectsV2Command({ Bucket: "secrets" })));
  equal("an explicit deny", [denied.name, denied.$metadata.httpStatusCode], ["AccessDenied", 403]);
  const nothing = await failure(client.send(new s3.HeadBucketCommand({ Bucket: "nothing" })));
  equal("a bucket that is not there", nothing.$metadata.httpStatusCode, 404);
}

async function checkThrottling() {
  const throttle = ["--operation", "DescribeActivations", "--code", "ThrottlingException"];
  const describe = new ssm.DescribeActivationsCommand({});
  fault(...throttle, "--count", "2");
  const patient = await new ssm.SSMClient({ maxAttempts: 3 }).send(describe);
  equal("throttling is retried until it is over", patient.$metadata.attempts, 3);
  equal("with pauses between", patient.$metadata.totalRetryDelay > 0, true);
  fault(...throttle, "--count", "2");
  const error = await failure(new ssm.SSMClient({ maxAttempts: 2 }).send(describe));
  equal("and is an error when it is not", [error.name, error.$metadata.attempts], [
    "ThrottlingException",
    2,
  ]);
  fault("--operation", "DescribeActivations", "--status", "503", "--count", "1");
  const after = await new ssm.SSMClient({ maxAttempts: 2 }).send(describe);
  equal("so is a service that fails", after.$metadata.attempts, 2);
}

async function checkBrokenAnswers() {
  const describe = new ssm.DescribeActivationsCommand({});
  const once = () => new ssm.SSMClient({ maxAttempts: 1 }).send(describe);
  for (const effect of ["--torn-body", "--wrong-json", "--reset"]) {
    fault("--operation", "DescribeActivations", effect, "--count", "1");
    const error = await failure(once());
    equal(`${effect} is an error`, error instanceof Error, true);
    equal(`after ${effect} all is well`, (await once()).$metadata.httpStatusCode, 200);
  }
  fault("--operation", "DescribeActivations", "--missing-member", "ActivationList", "--count", "1");
  equal("a list that is left out is undefined", (await once()).ActivationList, undefined);
  fault("--operation", "AssumeRole", "--skewed-expiry", "-2h", "--count", "1");
  const said = await reader("skewed")();
  equal("an expiry in the past is what the SDK hears", said.expiration < Date.now(), true);
}

async function checkClocks() {
  const describe = new ssm.DescribeActivationsCommand({});
  const rightly = Date.now;
  for (const hours of [2, -2]) {
    Date.now = () => rightly() + hours * HOUR;
    const client = new ssm.SSMClient({ maxAttempts: 2 });
    const answer = await client.send(describe);
    equal(`a clock ${hours} h off is corrected`, answer.$metadata.attempts, 2);
    equal("once for all", (await client.send(describe)).$metadata.attempts, 1);
  }
  Date.now = rightly;
  fault("--operation", "DescribeActivations", "--skewed-date", "-2h", "--count", "1");
  const client = new ssm.SSMClient({ maxAttempts: 2 });
  await client.send(describe);
  equal("a Date that is off misleads it", client.config.systemClockOffset < -HOUR, true);
  const answer = await client.send(describe);
  equal("until the next one corrects it", answer.$metadata.attempts, 2);
}

function reader(name) {
  return fromTemporaryCredentials({ params: { RoleArn: READER, RoleSessionName: name } });
}

function fault(...options) {
  execFileSync("rolekeeper-lab", ["fault", "add", ...options], { stdio: ["ignore", "ignore", "inherit"] });
}

async function failure(promise) {
  try {
    return { name: "done", $metadata: (await promise).$metadata };
  } catch (error) {
    return error;
  }
}

function equal(what, found, expected) {
  if (isDeepStrictEqual(found, expected)) {
    console.log(`ok   ${what}`);
  } else {
    const [seen, wanted] = [found, expected].map((value) => JSON.stringify(value));
    console.error(`FAIL ${what}: expected ${wanted}, found ${seen}`);
    failures += 1;
  }
}

await main();
