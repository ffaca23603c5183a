// The KMS client of AWS's SDK for JavaScript: `client.mjs NODE_FOLDER` with the
// endpoint and the credentials in the environment. Prints the requests that it
// has made, one JSON object a line.

import { createRequire } from 'node:module';
import { join, resolve } from 'node:path';

const require = createRequire(join(resolve(process.argv[2]), 'package.json'));
const {
  CreateKeyCommand, DecryptCommand, GenerateDataKeyCommand, KMSClient,
} = require('@aws-sdk/client-kms');

const client = new KMSClient({
  endpoint: process.env.WAXSEAL_KMS_ENDPOINT,
  region: process.env.AWS_REGION,
  maxAttempts: 1,
});

const contexts = [
  undefined,
  {},
  { a: 'b' },
  { purpose: 'test', b: '2', a: '1', Z: '3' },
  { 'ключ': 'значение', '鍵': '値', '🔑': '🔒' },
  { long: 'x'.repeat(8000) },
  Object.fromEntries(Array.from({ length: 100 }, (_, n) => [`k${n}`, `${n}`])),
];

async function send(operation, command) {
  const told = (metadata, error, plaintext) => console.log(JSON.stringify({
    id: metadata.requestId,
    operation,
    error,
    plaintext: plaintext && Buffer.from(plaintext).toString('base64'),
  }));
  try {
    const answer = await client.send(command);
    told(answer.$metadata, null, answer.Plaintext);
    return answer;
  } catch (error) {
    if (!error.$metadata?.requestId) throw error;
    told(error.$metadata, error.name);
    return { error: error.name };
  }
}

function must(holds, what) {
  if (!holds) throw new Error(what);
}

const { KeyMetadata: key } = await send('CreateKey', new CreateKeyCommand({}));
for (const [place, context] of contexts.entries()) {
  const generate = { KeyId: key.Arn, KeySpec: 'AES_256', EncryptionContext: context };
  const made = await send('GenerateDataKey', new GenerateDataKeyCommand(generate));
  must(made.KeyId === key.Arn && made.Plaintext.length === 32, `data key ${place}`);
  const decrypt = (EncryptionContext) => send(
    'Decrypt',
    new DecryptCommand({ CiphertextBlob: made.CiphertextBlob, EncryptionContext }),
  );
  const same = context && Object.fromEntries(Object.entries(context).reverse());
  const found = await decrypt(same);
  must(Buffer.from(found.Plaintext).equals(Buffer.from(made.Plaintext)), `decrypt ${place}`);
  for (const other of contexts) {
    const isSame = JSON.stringify(other ?? {}) === JSON.stringify(context ?? {});
    const { error } = await decrypt(other);
    must(isSame ? !error : error === 'InvalidCiphertextException', `context ${place}: ${error}`);
  }
}
const unknown = { KeyId: 'alias/none', KeySpec: 'AES_256' };
const refused = await send('GenerateDataKey', new GenerateDataKeyCommand(unknown));
must(refused.error === 'NotFoundException', refused.error);
