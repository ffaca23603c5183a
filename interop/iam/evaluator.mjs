#!/usr/bin/env node
// Evaluates AWS policies by @cloud-copilot/iam-simulate. One JSON object a line
// on standard input, its answer one JSON text a line on standard output, in the
// same order; only the end of the input ends the program.
//
//   node evaluator.mjs DIR      DIR as given to setup.sh
//
//   {"key_policy": {...} or null, "identity": [{...}], "principal": "arn:...",
//    "action": "kms:Decrypt", "resource": "arn:...", "account": "111122223333",
//    "context": {"kms:ViaService": "...", "kms:GrantOperations": ["..."]}}
//
// is answered by "Allowed", "ExplicitlyDenied" or "ImplicitlyDenied", or by
// "error: ..." where the evaluator throws.

import path from 'node:path'
import process from 'node:process'
import { createInterface } from 'node:readline'
import { pathToFileURL } from 'node:url'

if (process.argv[2] === undefined) {
  console.error('usage: evaluator.mjs DIR')
  process.exit(2)
}
const packages = path.join(path.resolve(process.argv[2]), 'node_modules/@cloud-copilot')
const load = (file) => import(pathToFileURL(path.join(packages, file)))

// Past the package's front: of its two entries, `runSimulation` drops condition
// keys that are not in AWS's service reference, as kms:EncryptionContext:*, and
// `runUnsafeSimulation` throws on resource policies. This is what both call.
const { authorize } = await load('iam-simulate/dist/esm/core_engine/CoreSimulatorEngine.js')
const { AwsRequestImpl } = await load('iam-simulate/dist/esm/request/request.js')
const { RequestContextImpl } = await load('iam-simulate/dist/esm/requestContext.js')
const { DiscoveryContextKeyConstraints } = await load(
  'iam-simulate/dist/esm/context_keys/discoveryContextKeyConstraints.js'
)
const { loadPolicy } = await load('iam-policy/dist/esm/index.js')

function evaluate(request) {
  const resource = { resource: request.resource, accountId: request.account }
  const analysis = authorize({
    request: new AwsRequestImpl(
      request.principal,
      resource,
      request.action,
      new RequestContextImpl(request.context)
    ),
    sessionPolicy: undefined,
    identityPolicies: request.identity.map((policy, number) =>
      loadPolicy(policy, { name: `policy ${number}` })
    ),
    serviceControlPolicies: [],
    resourceControlPolicies: [],
    resourcePolicy: request.key_policy
      ? loadPolicy(request.key_policy, { name: 'key policy' })
      : undefined,
    permissionBoundaries: undefined,
    vpcEndpointPolicies: undefined,
    simulationParameters: {
      simulationMode: 'Strict',
      discoveryContextKeyConstraints: new DiscoveryContextKeyConstraints([]),
    },
    serviceSettings: {},
  })
  return analysis.result
}

for await (const line of createInterface({ input: process.stdin })) {
  let answer
  try {
    answer = evaluate(JSON.parse(line))
  } catch (error) {
    answer = `error: ${error}`
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`)
}
