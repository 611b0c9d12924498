import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as dagJson from '@ipld/dag-json'
import { base36 } from 'multiformats/bases/base36'
import { base58btc } from 'multiformats/bases/base58'
import * as Digest from 'multiformats/hashes/digest'
import type { MultihashDigest } from 'multiformats/hashes/interface'
import { type Capability, formatCapability, parseCapability } from '../../../src/format/capability.ts'
import { CID, DAG_CBOR, nameBlock } from '../../../src/format/cid.ts'
import { FormatError } from '../../../src/format/errors.ts'
import { sha256 } from '../../../src/format/hash.ts'

const root = nameBlock(Buffer.from('sealed'))
const key = Buffer.from(Array.from({ length: 32 }, (_, i) => 255 - i))

test('a capability is written and read, with an address and without', () => {
  for (const capability of [
    { root, key },
    { root, key, gateway: 'https://files.example.org:8443/dfs?x=1' },
    { root: nameBlock(Buffer.from('node'), DAG_CBOR), key }
  ]) {
    const parsed = parseCapability(formatCapability(capability))
    assert.ok(parsed.root.equals(capability.root))
    assert.deepEqual(Buffer.from(parsed.key), key)
    assert.equal(parsed.gateway, 'gateway' in capability ? capability.gateway : undefined)
  }
})

test('the codec of manifest nodes is a parameter of parseCapability too', () => {
  const text = formatCapability({ root: nameBlock(Buffer.from('{}'), dagJson.code), key })
  assert.throws(() => parseCapability(text), FormatError)
  assert.equal(parseCapability(text, [dagJson.code]).root.code, dagJson.code)
})

test('parseCapability refuses any other text', () => {
  const good = formatCapability({ root, key })
  const [prefix, cid, secret] = good.split('.') as [string, string, string]
  const bad: Record<string, string> = {
    'no parts': 'dfscap1',
    'another version': good.replace('dfscap1', 'dfscap2'),
    'a part too many': `${good}.x`,
    'a part too few': `${prefix}.${cid}`,
    'no CID': `${prefix}.hello.${secret}`,
    'a CID in base58': `${prefix}.${root.toString(base58btc)}.${secret}`,
    'a CID in base36': `${prefix}.${root.toString(base36)}.${secret}`,
    'a CID with padding': `${prefix}.${cid}=.${secret}`,
    'a CID of version 0': `${prefix}.QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPbdG.${secret}`,
    'a short key': `${prefix}.${cid}.${secret.slice(0, -2)}`,
    'a key with padding': `${prefix}.${cid}.${secret}=`,
    'a key in another alphabet': `${prefix}.${cid}.${'+'.repeat(43)}`,
    'a key whose last bits say nothing, and are set': `${prefix}.${cid}.${secret.slice(0, -1)}B`,
    'plain http': `${good}@http://example.org`,
    'no address': `${good}@`,
    'no URL': `${good}@example.org`,
    'a URL without slashes': `${good}@https:example.org/`,
    'a URL without its path': `${good}@https://example.org`,
    'a URL in capitals': `${good}@https://EXAMPLE.org/`,
    'a URL with its own port': `${good}@https://example.org:443/`,
    'white space in front': `${good}@ https://example.org/`,
    'control characters': `${good}@https://example.org/a\nb`,
    'an escape sequence': `${good}@https://example.org/\u001b[2J`,
    'a host in Unicode': `${good}@https://bücher.example/`,
    'a user': `${good}@https://user@example.org/`,
    'a user and a password': `${good}@https://user:secret@example.org/`,
    'an address without end': `${good}@https://example.org/${'x'.repeat(2048)}`,
    nothing: ''
  }
  for (const [what, text] of Object.entries(bad)) assert.throws(() => parseCapability(text), FormatError, what)
})

test('formatCapability refuses values that could not be parsed again', () => {
  const long = `https://example.org/${'x'.repeat(2048)}`
  const bad: Record<string, Capability> = {
    'a short key': { root, key: key.subarray(1) },
    'a long key': { root, key: Buffer.alloc(33) },
    'plain http': { root, key, gateway: 'http://example.org/' },
    'an empty address': { root, key, gateway: '' },
    'a user': { root, key, gateway: 'https://user@example.org/' },
    'a control character': { root, key, gateway: 'https://example.org/\n' },
    'an address without end': { root, key, gateway: long },
    'a CID of version 0': {
      root: CID.createV0(Digest.create(sha256.code, sha256.digest(key)) as MultihashDigest<0x12>),
      key
    }
  }
  for (const [what, capability] of Object.entries(bad))
    assert.throws(() => formatCapability(capability), FormatError, what)
})
