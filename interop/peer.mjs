#!/usr/bin/env node
// The JavaScript peer: the AWS Encryption SDK for JavaScript behind a line
// protocol. One JSON object a line on standard input, one JSON answer a line
// on standard output; README.md beside this file describes both. Nothing else
// is written to standard output, and no request ends the loop: only the end of
// the input does.
//
//   node peer.mjs DIR/node      DIR as given to setup.sh
//
// The packages are found in that folder, not beside this file.

import { createRequire } from 'node:module'
import path from 'node:path'
import process from 'node:process'
import { fileURLToPath } from 'node:url'

const home = path.resolve(
  process.argv[2] ??
    process.env.WAXSEAL_INTEROP_NODE ??
    path.dirname(fileURLToPath(import.meta.url))
)
const load = createRequire(path.join(home, 'package.json'))

// The answers keep standard output to themselves.
const writeAnswer = process.stdout.write.bind(process.stdout)
console.log = console.info = console.debug = console.error

const {
  AlgorithmSuiteIdentifier,
  CommitmentPolicy,
  MultiKeyringNode,
  RawAesKeyringNode,
  RawAesWrappingSuiteIdentifier,
  buildClient,
} = load('@aws-crypto/client-node')
const { version } = load('@aws-crypto/client-node/package.json')

const POLICIES = {
  'require-encrypt-require-decrypt':
    CommitmentPolicy.REQUIRE_ENCRYPT_REQUIRE_DECRYPT,
  'require-encrypt-allow-decrypt':
    CommitmentPolicy.REQUIRE_ENCRYPT_ALLOW_DECRYPT,
  'forbid-encrypt-allow-decrypt': CommitmentPolicy.FORBID_ENCRYPT_ALLOW_DECRYPT,
}
const DEFAULT_POLICY = 'require-encrypt-require-decrypt'

const WRAPPING = {
  16: RawAesWrappingSuiteIdentifier.AES128_GCM_IV12_TAG16_NO_PADDING,
  24: RawAesWrappingSuiteIdentifier.AES192_GCM_IV12_TAG16_NO_PADDING,
  32: RawAesWrappingSuiteIdentifier.AES256_GCM_IV12_TAG16_NO_PADDING,
}

// A copy with memory of its own: the SDK wipes what it is given.
function bytes(text, encoding) {
  return Uint8Array.from(Buffer.from(text, encoding))
}

function rawKeyring({ namespace, name, hex }) {
  const secret = bytes(hex, 'hex')
  const wrappingSuite = WRAPPING[secret.byteLength]
  if (wrappingSuite === undefined) {
    throw new Error(`a raw AES key of ${secret.byteLength} bytes`)
  }
  return new RawAesKeyringNode({
    keyNamespace: namespace,
    keyName: name,
    unencryptedMasterKey: secret,
    wrappingSuite,
    // The other SDKs sort the context that a wrapped key is bound to by the
    // keys' UTF-8 bytes. This one does so only when told: left out, it sorts
    // by locale, and already `B` beside `a` makes it write messages that no
    // other SDK can decrypt.
    utf8Sorting: true,
  })
}

// One raw AES keyring, or a multi-keyring whose generator is the first key.
function keyring(keys) {
  const [generator, ...children] = keys.map(rawKeyring)
  if (generator === undefined) throw new Error('no keys')
  if (children.length === 0) return generator
  return new MultiKeyringNode({ generator, children })
}

function client(request) {
  const commitmentPolicy = POLICIES[request.policy ?? DEFAULT_POLICY]
  if (commitmentPolicy === undefined) {
    throw new Error(`unsupported: policy ${request.policy}`)
  }
  return buildClient({
    commitmentPolicy,
    maxEncryptedDataKeys: request.max_encrypted_data_keys ?? false,
  })
}

function refuseUnsupported(request) {
  if (request.required?.length) {
    throw new Error('unsupported: required context keys')
  }
  if (request.legacy) throw new Error('unsupported: legacy')
}

async function hello() {
  return { sdk: `@aws-crypto/client-node ${version}` }
}

async function encrypt(request) {
  refuseUnsupported(request)
  const frameLength = request.frame_length ?? 4096
  if (frameLength === 0) throw new Error('unsupported: un-framed messages')
  const options = { frameLength, encryptionContext: request.context ?? {} }
  if (request.suite) {
    const suiteId = Number.parseInt(request.suite, 16)
    if (AlgorithmSuiteIdentifier[suiteId] === undefined) {
      throw new Error(`unsupported: suite ${request.suite}`)
    }
    options.suiteId = suiteId
  }
  const { result } = await client(request).encrypt(
    keyring(request.keys),
    Buffer.from(request.plaintext_b64, 'base64'),
    options
  )
  return { message_b64: result.toString('base64') }
}

async function decrypt(request) {
  refuseUnsupported(request)
  const { plaintext, messageHeader } = await client(request).decrypt(
    keyring(request.keys),
    Buffer.from(request.message_b64, 'base64')
  )
  const stored = { ...messageHeader.encryptionContext }
  for (const [name, value] of Object.entries(request.context ?? {})) {
    if (stored[name] !== value) {
      throw new Error(`the message's context has no such pair: ${name}`)
    }
  }
  return { plaintext_b64: plaintext.toString('base64'), context: stored }
}

const OPERATIONS = new Map(Object.entries({ hello, encrypt, decrypt }))

function describe(error) {
  if (!(error instanceof Error)) return `Error: ${String(error)}`
  return `${error.name}: ${error.message}`.slice(0, 2000)
}

async function answer(line) {
  try {
    const request = JSON.parse(line)
    const operation = OPERATIONS.get(request.op)
    if (operation === undefined) {
      throw new Error(`unsupported: op ${request.op}`)
    }
    // The SDK's streams can fail in a place that no promise covers; such an
    // error then belongs to the request under way.
    const stray = new Promise((_resolve, reject) => {
      failRequest = reject
    })
    return { ok: true, ...(await Promise.race([operation(request), stray])) }
  } catch (error) {
    return { ok: false, error: describe(error) }
  } finally {
    failRequest = undefined
  }
}

let failRequest
function onStray(error) {
  if (failRequest) failRequest(error)
  else console.error(error)
}
process.on('uncaughtException', onStray)
process.on('unhandledRejection', onStray)

// Lines end at a newline and nowhere else: Node's own line reader also splits
// at U+2028, which a context may hold.
async function* lines(input) {
  let parts = []
  for await (const chunk of input) {
    let start = 0
    for (;;) {
      const end = chunk.indexOf(0x0a, start)
      if (end < 0) break
      parts.push(chunk.subarray(start, end))
      yield Buffer.concat(parts).toString('utf8')
      parts = []
      start = end + 1
    }
    parts.push(chunk.subarray(start))
  }
  if (parts.some((part) => part.length > 0)) {
    yield Buffer.concat(parts).toString('utf8')
  }
}

for await (const line of lines(process.stdin)) {
  if (line.trim() === '') continue
  const text = JSON.stringify(await answer(line))
  await new Promise((done) => writeAnswer(text + '\n', done))
}
