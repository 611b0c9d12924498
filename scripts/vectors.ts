/**
 * `npm run vectors` writes the vectors of the room `format/` again, always with the same bytes. They are frozen
 * (`src/format/SPEC.md`, section "Versions"): a diff may add vectors, and may change none.
 */
import { spawnSync } from 'node:child_process'
import { type KeyObject, sign } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { base58btc } from 'multiformats/bases/base58'
import { admitBytes } from '../src/format/admit.ts'
import { approvalCode, commitOf, networkWords, readCode } from '../src/format/approval.ts'
import { encodeCanonical } from '../src/format/canonical.ts'
import { formatCapability } from '../src/format/capability.ts'
import { type Chunk, fixedChunker } from '../src/format/chunker.ts'
import { CID, DAG_CBOR, nameBlock, RAW } from '../src/format/cid.ts'
import { type EntryBody, type RecordInit, ROOT_ENTRY, type Seen, signRecord } from '../src/format/entry.ts'
import { sealHandover } from '../src/format/handover.ts'
import { blake3, HASHES, sha256 } from '../src/format/hash.ts'
import { encodeInviteToken, type InviteToken } from '../src/format/invite-token.ts'
import type { Fields, Kind } from '../src/format/kinds.ts'
import { type FileRoot, heightOf } from '../src/format/manifest.ts'
import { deriveNetwork, epochSubkeys, networkKeyWords, privateKey, rawPublicKey } from '../src/format/network-key.ts'
import { paddedBodyLength, paddedChunkLength, padInPlace, padme } from '../src/format/padding.ts'
import { peerIdOf } from '../src/format/peer-id.ts'
import { type SealLabel, seal, secretKey } from '../src/format/seal.ts'
import { inlineRoot, sealFile } from '../src/format/seal-file.ts'
import { encodeHlc, type Hlc, hlcAt, type Stamp } from '../src/format/stamp.ts'
import { type Statement, signStatement } from '../src/format/statement.ts'
import { concatBytes, fromHex, toHex, utf8 } from '../src/util/bytes.ts'

const root = join(import.meta.dirname, '..')
const folder = join(root, 'test/vectors')

/** Writes bytes, which JSON lacks, as `0x` and hex, and a link as `cid:` and its text. Any other text stays as it is. */
function say(value: unknown): unknown {
  if (value instanceof Uint8Array) return `0x${toHex(value)}`
  const cid = CID.asCID(value)
  if (cid !== null) return `cid:${cid}`
  if (Array.isArray(value)) return value.map(say)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value).flatMap(([key, item]) => (item === undefined ? [] : [[key, say(item)]]))
  )
}

const written: string[] = []

function write(name: string, value: unknown): void {
  const file = join(folder, `${name}.json`)
  // Characters that an editor does not show are written as escapes.
  writeFileSync(file, JSON.stringify(value, null, 2).replaceAll('\ufeff', '\\ufeff'))
  written.push(file)
}

const fill = (length: number, byte: number): Uint8Array => Buffer.alloc(length, byte)
const counting = (length: number): Uint8Array => Uint8Array.from({ length }, (_, i) => i % 251)
const hexes = (value: Record<string, Uint8Array>) =>
  Object.fromEntries(Object.entries(value).map(([key, bytes]) => [key, toHex(bytes)]))

const networkKey = counting(32)
const network = deriveNetwork(networkKey)
const subkeys = epochSubkeys(network.epochKey)
const seedOf = (key: KeyObject) => Buffer.from(key.export({ format: 'der', type: 'pkcs8' })).subarray(-32)
const rootSeed = seedOf(network.root)
const content = secretKey(subkeys.content)
const record = secretKey(subkeys.record)
const deviceSeed = fill(32, 2)
const device = privateKey('ed25519', deviceSeed)
const author = rawPublicKey(device)
const GRANT = fill(32, 0x6a)
/** 2024-01-01T00:00:00Z, and the counter at three. */
const HLC: Hlc = hlcAt(1_704_067_200_000, 3)
const someCid = nameBlock(utf8('a sealed block'))
const someNode = nameBlock(utf8('a manifest node'), DAG_CBOR)

function keys(): unknown {
  const networks = [networkKey, fill(32, 1), fill(32, 0xff)].map(key => {
    const { network, epochKey, recovery } = deriveNetwork(key)
    return { words: networkKeyWords(key), ...hexes({ key, network, epochKey, recovery, ...epochSubkeys(epochKey) }) }
  })
  const devices = [deviceSeed, fill(32, 3), counting(32)].map(seed => {
    const key = rawPublicKey(privateKey('ed25519', seed))
    return { ...hexes({ seed, key }), peerId: peerIdOf(key) }
  })
  return { networks, devices, refusedPeerIds: ['', 'QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPbdG'] }
}

function cids(): unknown {
  const blocks = [new Uint8Array(0), utf8('abc'), counting(1025)].map(bytes => ({
    bytes: toHex(bytes),
    sha256: toHex(sha256.digest(bytes)),
    blake3: toHex(blake3.digest(bytes)),
    cids: HASHES.flatMap(hash =>
      [RAW, DAG_CBOR].map(codec => {
        const cid = nameBlock(bytes, codec, hash)
        return { codec, hash: hash.name, cid: toHex(cid.bytes), text: cid.toString() }
      })
    )
  }))
  const digest = toHex(blake3.digest(utf8('abc')))
  const refused = {
    'version 0': `1220${digest}`,
    'codec dag-pb': `01701e20${digest}`,
    'hash function identity': `01550020${digest}`,
    'digest of four bytes': `01551e04${digest.slice(0, 8)}`,
    'digest of 33 bytes': `01551e21${digest}00`,
    'varint with a byte too many': `01559e0020${digest}`,
    'a byte behind': `01551e20${digest}00`,
    'cut off': `01551e20${digest.slice(2)}`
  }
  return { blocks, refused }
}

function canonical(): unknown {
  const values: unknown[] = [
    null,
    true,
    0,
    23,
    24,
    255,
    256,
    65_536,
    4_294_967_296,
    Number.MAX_SAFE_INTEGER,
    -1,
    -25,
    1.5,
    'läptop',
    fill(24, 7),
    [1, [2, 'x']],
    // Shorter keys come first, and keys of one length are in bytewise order.
    { b: 1, a: 2, aa: 3, é: 4, '': 5 },
    someCid
  ]
  const refused = {
    nothing: '',
    'a byte behind': '0000',
    'an integer in more bytes than it needs': '1817',
    'a length in more bytes than it needs': '5801ff',
    'keys out of order': 'a2616201616102',
    'a longer key first': 'a262616101616202',
    'one key twice': 'a2616101616102',
    'a key that is no text': 'a10102',
    'a float of 16 bits': 'f93e00',
    'a float of 32 bits': 'fa3fc00000',
    'a whole number as a float': 'fb3ff0000000000000',
    'minus zero': 'fb8000000000000000',
    'not a number': 'fb7ff8000000000000',
    infinity: 'fb7ff0000000000000',
    undefined: 'f7',
    'an endless list': '9f01ff',
    'endless bytes': '5f4101ff',
    'text that is not UTF-8': '61ff',
    'text that begins with U+FEFF': '64efbbbf61',
    'a map that would be taken for a link': 'a2612f61786562797465736178',
    '65 lists in one another': `${'81'.repeat(64)}80`,
    'another tag than that of links': 'c11a00000000',
    'a link without its zero byte': `d82a5824${toHex(someCid.bytes)}`
  }
  return { accepted: values.map(value => ({ value: say(value), bytes: toHex(encodeCanonical(value)) })), refused }
}

function padding(): unknown {
  const lengths = [0, 1, 2, 3, 8, 9, 10, 61, 100, 1000, 1025, 4095, 4097, 65_535, 65_537, 999_999, 1_048_575]
  lengths.push(1_048_576, 1_048_577, 3_000_000, 4_194_304, 2 ** 31 - 1)
  const pad = (length: number, padded: number) =>
    padInPlace(concatBytes(fill(length, 7), fill(padded, 0)), length, padded)
  return {
    padme: lengths.map(length => [length, padme(length)]),
    bodies: [0, 1, 252, 253, 508, 509, 1020, 1021, 4092, 4093, 8188].map(length => [length, paddedBodyLength(length)]),
    chunks: [0, 1, 9, 17].map(length => ({
      text: toHex(fill(length, 7)),
      padded: toHex(pad(length, paddedChunkLength(length)))
    })),
    refusedChunks: {
      'shorter than its length field': '000000',
      'a byte of padding that is not zero': '0707070707070707070100000009',
      'more padding than needed': '070000000001',
      'less padding than needed': '07070707070707070700000009',
      'longer than it is': '0700000002'
    }
  }
}

function seals(): unknown {
  const cases: Array<[string, SealLabel, Uint8Array, Uint8Array, Uint8Array]> = [
    ['an empty chunk', 'chunk', new Uint8Array(0), new Uint8Array(0), fill(4, 0)],
    ['a chunk', 'chunk', new Uint8Array(0), new Uint8Array(0), fromHex('68656c6c6f00000005')],
    ['the same chunk with a salt', 'chunk', new Uint8Array(0), fill(32, 8), fromHex('68656c6c6f00000005')],
    ['a node', 'node', utf8('clear fields'), new Uint8Array(0), counting(40)],
    ['a node with a salt', 'node', utf8('clear fields'), fill(32, 8), counting(40)],
    ['a body', 'body', utf8('clear fields'), new Uint8Array(0), counting(256)]
  ]
  return {
    suite: 'aes-256-gcm/hmac-sha-256/blake3',
    seals: cases.map(([what, label, clear, salt, padded]) => {
      const sealed = seal(content, padded, { label, clear, salt })
      const { siv, key, bytes } = sealed
      return { what, label, ...hexes({ subkey: subkeys.content, clear, salt, padded, siv, key, bytes }) }
    })
  }
}

const sayRoot = ({ cid, key, size, leaves }: FileRoot) => ({ cid: cid.toString(), key: toHex(key), size, leaves })

async function sealed(text: Uint8Array, chunkBytes: number, salt: Uint8Array) {
  const blocks: Array<{ leaf: number | null; cid: string; bytes: string }> = []
  let top: FileRoot | undefined
  const chunks: AsyncGenerator<Chunk> = fixedChunker(chunkBytes)([text])
  for await (const { cid, bytes, chunkIndex: leaf, root } of sealFile({ subkey: content, salt })(chunks)) {
    blocks.push({ leaf, cid: cid.toString(), bytes: toHex(bytes) })
    top = root
  }
  return { root: sayRoot(top as FileRoot), blocks }
}

async function manifest(): Promise<unknown> {
  const none = new Uint8Array(0)
  const cases: Array<[string, number, number, Uint8Array]> = [
    ['one chunk, no manifest', 50, 64, none],
    ['three chunks, the last one short', 150, 64, none],
    ['the same with a salt', 150, 64, fill(32, 8)],
    ['two equal chunks', 2, 1, none]
  ]
  const files: unknown[] = []
  for (const [what, length, chunkBytes, salt] of cases) {
    const text = what === 'two equal chunks' ? fill(length, 7) : counting(length)
    files.push({ what, chunkBytes, ...hexes({ salt, text }), ...(await sealed(text, chunkBytes, salt)) })
  }
  const large = await sealed(counting(2050), 1, none)
  const node = (change: object): string =>
    toHex(encodeCanonical({ v: 1, leaves: 2, links: [someCid, someCid], sealed: fill(128, 0), ...change }))
  return {
    subkey: toHex(subkeys.content),
    files,
    // Byte n of the text is n mod 251, and each byte is a chunk: three nodes below a root.
    large: {
      length: 2050,
      chunkBytes: 1,
      root: large.root,
      nodes: large.blocks.filter(b => b.leaf === null).map(b => b.cid)
    },
    inline: [none, utf8('the content itself'), counting(1024)].flatMap(text =>
      [none, fill(32, 8)].map(salt => hexes({ text, salt, root: inlineRoot(content, text, salt) }))
    ),
    heights: [2, 1024, 1025, 1024 ** 2, 1024 ** 2 + 1, 1024 ** 3 + 1, 1024 ** 4].map(n => [n, heightOf(n)]),
    refused: {
      'another version': node({ v: 2 }),
      'a field too many': node({ x: 0 }),
      'a root of one chunk': node({ leaves: 1, links: [someCid] }),
      'more leaves than links': node({ leaves: 3 }),
      'fewer leaves than links': node({ links: [someCid, someCid, someCid] }),
      'a node where chunks belong': node({ links: [someNode, someNode] }),
      'chunks where nodes belong': node({ leaves: 1025 }),
      'leaves beyond the depth': node({ leaves: 1024 ** 4 + 1 }),
      'no links': node({ links: [] }),
      'a seal that is text': node({ sealed: 'x' }),
      'a seal that is too long for its rows': node({ sealed: fill(129, 0) }),
      'a seal that is too short for its rows': node({ sealed: fill(127, 0) })
    }
  }
}

function stamps(): unknown {
  const stamp = (hlc: Hlc, author: number, incarnation: number): Stamp => ({
    hlc,
    author: fill(32, author),
    incarnation: fill(8, incarnation)
  })
  const ordered = [
    stamp(0n, 0, 0),
    stamp(0n, 0, 1),
    stamp(0n, 1, 0),
    stamp(1n, 0, 0),
    stamp(hlcAt(1, 0), 0, 0),
    stamp(HLC, 9, 9),
    stamp(HLC + 1n, 0, 0),
    stamp((1n << 64n) - 1n, 0, 0)
  ]
  const moments = [0, 1, 1_704_067_200_000, 2 ** 48 - 1].flatMap(ms => [0, 3, 0xffff].map(counter => ({ ms, counter })))
  return {
    hlcs: moments.map(({ ms, counter }) => ({ ms, counter, hlc: toHex(encodeHlc(hlcAt(ms, counter))) })),
    ascending: ordered.map(({ hlc, author, incarnation }) => hexes({ hlc: encodeHlc(hlc), author, incarnation }))
  }
}

const byDevice = { network: network.network, key: device, grant: GRANT, hlc: HLC }
const byRoot = { network: network.network, key: network.root, hlc: HLC }

function sayStatement({ kind, hlc, grant, fields, sig, id, bytes }: Statement): Record<string, unknown> {
  const clear = { hlc: encodeHlc(hlc), sig, id, bytes }
  return { kind, grant: grant === null ? null : toHex(grant), fields: say(fields), ...hexes(clear) }
}

function statements(): unknown {
  const all: Record<string, unknown>[] = []
  const add = <K extends Kind>(what: string, kind: K, fields: Fields<K>, signer: typeof byDevice | typeof byRoot) =>
    all.push({ what, ...sayStatement(signStatement(kind, fields, signer) as Statement) })
  const later = (n: bigint): Uint8Array => encodeHlc(HLC + n)
  const grant = { subject: author, x25519: fill(32, 0x12), epoch: network.network }
  add('the root', 'root', { recovery: network.recovery }, { ...byRoot, hlc: 0n })
  add('a grant by the root', 'grant', { ...grant, role: 'admin', name: 'läptop' }, byRoot)
  const optional = { capacityMax: 2 ** 40, zone: 'cellar', notAfter: later(1n) }
  const admit = { invite: fill(32, 0x13), inviteSig: fill(64, 0x14), subjectSig: fill(64, 0x15) }
  add('a grant with all it may have', 'grant', { ...grant, role: 'storage', name: 'nas', ...optional, admit }, byDevice)
  add('an invite', 'invite', { key: fill(32, 0x16), role: 'reader', notAfter: later(2n), uses: 3 }, byDevice)
  add('an invite for any number', 'invite', { key: author, role: 'writer', notAfter: later(2n), uses: null }, byDevice)
  add('a revocation', 'revocation', { target: fill(32, 0x17), list: null }, byRoot)
  add('a revocation with a list', 'revocation', { target: fill(32, 0x17), list: someNode }, byDevice)
  const ids = [fill(32, 0x1a), fill(32, 0x1b)]
  add('an epoch', 'epoch', { previous: [network.network], hash: fill(32, 0x19), excludes: ids }, byDevice)
  add('settings of nothing', 'settings', {}, byDevice)
  const quotas = { statements: 1000, nodeBytes: 2 ** 33 }
  const settings = { replicas: 0, ack: 2, chunker: 'fastcdc', dedupe: false, outAfter: 600_000, quotas } as const
  add('settings of everything', 'settings', settings, byDevice)
  const defaults = { replicas: null, ack: null, outAfter: null, versionDays: null }
  add('settings taken back', 'settings', defaults, byDevice)
  add('out', 'out', { subject: author }, byDevice)
  const successor = { root: fill(32, 0x1c), recovery: fill(32, 0x1d), rootSig: fill(64, 0x1e) }
  add('a successor', 'successor', successor, byRoot)
  add('a handover', 'handover', { epoch: fill(32, 0x1f), recipient: author, box: fill(80, 0x21) }, byDevice)
  const addresses = ['/ip4/192.0.2.1/tcp/3000', '/dns4/example.org/tcp/443/tls/ws']
  const status = { instance: fill(16, 0x22), weight: 10 ** 12, state: 'draining', outAfter: 600_000 } as const
  add('a status', 'status', { ...status, addresses, zone: 'cellar', head: later(0n) }, byDevice)
  add('a status without addresses', 'status', { ...status, state: 'in', addresses: [], head: later(0n) }, byDevice)
  add('a share', 'share', { id: fill(16, 0x29), root: someCid, notAfter: later(3n) }, byDevice)
  add('the end of a share', 'share', { id: fill(16, 0x29), root: null }, byDevice)
  const gone = signRecord({ ...puts['a file whose content is inline']!, ...nothing }, signing)
  all.push({ what: 'an entry', ...sayStatement(gone as Statement) })
  const seeds = { root: rootSeed, device: deviceSeed }
  return { network: toHex(network.network), ...hexes(seeds), statements: all, refused: refusedStatements() }
}

/** Whole statements with their signatures that are invalid because of their bytes, whoever signed them. */
function refusedStatements(): unknown {
  const good = { kind: 'out', v: 1, hlc: encodeHlc(HLC), grant: GRANT, subject: author, sig: fill(64, 0) }
  const { sig: _, ...unsigned } = good
  const { subject: __, ...rest } = good
  const status = { kind: 'status', instance: fill(16, 0), weight: 0, state: 'in', outAfter: 600_000, head: fill(8, 0) }
  const bad: Record<string, unknown> = {
    'an unknown kind': { ...good, kind: 'in' },
    'another version': { ...good, v: 2 },
    'an hlc of seven bytes': { ...good, hlc: fill(7, 0) },
    'a grant that is null': { ...good, grant: null },
    'no signature': unsigned,
    'a field too many': { ...good, why: 'x' },
    'a key of 31 bytes': { ...good, subject: fill(31, 0) },
    'ids that do not ascend': {
      ...rest,
      kind: 'epoch',
      previous: [fill(32, 2), fill(32, 1)],
      hash: fill(32, 0),
      excludes: []
    },
    'one id twice': { ...rest, kind: 'epoch', previous: [], hash: fill(32, 0), excludes: [fill(32, 1), fill(32, 1)] },
    'an empty address': { ...rest, ...status, addresses: [''] },
    'a weight above 1 PiB': { ...rest, ...status, addresses: [], weight: 2 ** 50 + 1 },
    'an outAfter of more than 30 days': { ...rest, ...status, addresses: [], outAfter: 30 * 86_400_000 + 1 },
    'an epoch after 17 others': {
      ...rest,
      kind: 'epoch',
      previous: Array.from({ length: 17 }, (_, i) => fill(32, i)),
      hash: fill(32, 0),
      excludes: []
    },
    'a box of 81 bytes': { ...rest, kind: 'handover', epoch: fill(32, 0), recipient: author, box: fill(81, 0) },
    'an invite for nobody': { ...rest, kind: 'invite', key: author, role: 'reader', notAfter: fill(8, 9), uses: 0 },
    'more than 255 copies': { ...rest, kind: 'settings', replicas: 256 },
    'a list': [good]
  }
  return Object.fromEntries(Object.entries(bad).map(([what, value]) => [what, toHex(encodeCanonical(value))]))
}

const signing = { ...byDevice, author, subkey: record }
const text = utf8('the content itself')
const entry = {
  entry: fill(16, 0x31),
  incarnation: fill(8, 0x32),
  epoch: network.network,
  seen: [],
  op: 'put',
  placed: null,
  written: null,
  rootEpoch: network.network,
  replicas: 3
} as const
const nothing = { op: 'delete', root: null, rootEpoch: null, body: null } as const
const body = { parent: ROOT_ENTRY, name: 'notes.txt', kind: 'file', mtime: 1_704_067_200_000 } as const
const inlineBody: EntryBody = { ...body, size: text.byteLength, mode: 0o644, type: 'text/plain', content: text }
const seen: Seen[] = [
  { author: fill(32, 0x41), incarnation: fill(8, 1), hlc: HLC - 2n },
  { author: fill(32, 0x41), incarnation: fill(8, 2), hlc: HLC - 1n },
  { author: fill(32, 0x42), incarnation: fill(8, 0), hlc: HLC - 9n }
]
const directory: EntryBody = { ...body, name: 'folder', kind: 'directory', size: 0 }
const link: EntryBody = { ...body, name: 'link', size: 0, target: '../notes.txt' }
const props = { tags: ['a', 1, 2.5, null], é: { deep: fill(2, 9) } }
const old: Stamp = { ...(seen[1] as Seen) }

const puts: Record<string, RecordInit> = {
  'a file whose content is inline': { ...entry, root: inlineRoot(content, text), body: inlineBody },
  'an empty file': {
    ...entry,
    root: inlineRoot(content, new Uint8Array(0)),
    body: { ...body, size: 0, content: new Uint8Array(0) }
  },
  'a file in blocks': {
    ...entry,
    root: someNode.bytes,
    body: { ...body, size: 5_000_000, key: fill(32, 0x33), props }
  },
  'a directory': { ...entry, root: null, rootEpoch: null, replicas: 0, body: directory },
  'a symbolic link': { ...entry, root: null, rootEpoch: null, body: link },
  'a move, which keeps what was written': {
    ...entry,
    seen,
    written: old,
    root: someCid.bytes,
    body: { ...body, name: 'moved', size: 1025, key: fill(32, 0x33) }
  },
  'a write, which keeps its place': {
    ...entry,
    seen,
    placed: { ...old, hlc: old.hlc - 5n },
    root: inlineRoot(content, text),
    body: inlineBody
  },
  'a delete of a file': { ...entry, ...nothing, seen },
  'a delete of a directory, which keeps its name': { ...entry, ...nothing, seen, placed: old, body: directory }
}

/** A body without its sealed part, which can be computed from its text and the clear fields. */
function sayRecord(what: string, { id, bytes, fields }: Statement<'entry'>): Record<string, unknown> {
  const { siv, body: _, ...clear } = fields
  return { what, fields: say(clear), ...(siv === undefined ? {} : { siv: toHex(siv) }), ...hexes({ id, bytes }) }
}

function entries(): unknown {
  const records = Object.entries(puts).map(([what, init]) => ({
    ...sayRecord(what, signRecord(init, signing)),
    ...(init.body === null ? {} : { body: say(init.body) })
  }))
  const gone = signRecord({ ...entry, ...nothing, seen }, signing).fields
  for (const field of ['purge', 'cancel'] as const)
    records.push(sayRecord(`a delete with ${field}`, signStatement('entry', { ...gone, [field]: true }, signing)))
  const { fields } = signRecord(puts['a file whose content is inline'] as RecordInit, signing)
  const row = (n: number, hlc: Hlc = HLC - 1n): [Uint8Array, Uint8Array, Uint8Array] => [
    fill(32, n),
    fill(8, 0),
    encodeHlc(hlc)
  ]
  const bad: Record<string, Partial<Fields<'entry'>>> = {
    'a past that is not sorted': { seen: [row(2), row(1)] },
    'a past that names one incarnation twice': { seen: [row(1, HLC - 2n), row(1)] },
    'a past that is not before it': { seen: [row(1, HLC)] },
    'a stamp kept that it has not seen': { placed: [encodeHlc(HLC - 1n), fill(32, 1), fill(8, 0)] },
    'a root without its epoch': { rootEpoch: null },
    'an epoch without a root': { root: null },
    'a root of 31 bytes': { root: fill(31, 0) },
    'a root by a foreign codec': { root: CID.createV1(0x70, someCid.multihash).bytes },
    'the root directory as an entry': { id: fill(16, 0) },
    'a body of a length that padding does not give': { body: fill(48 + 255, 0) },
    'a put without a body': { siv: undefined, body: undefined },
    'a body without a siv': { siv: undefined },
    'a put that purges': { purge: true },
    'a put that cancels': { cancel: true },
    'a delete with a root': { op: 'delete' }
  }
  const refused = Object.fromEntries(
    Object.entries(bad).map(([what, change]) => [
      what,
      toHex(signStatement('entry', { ...fields, ...change }, signing).bytes)
    ])
  )
  const covers = [
    { hlc: HLC, author, incarnation: entry.incarnation, covered: true },
    { hlc: HLC - 1n, author, incarnation: entry.incarnation, covered: false },
    { ...(seen[0] as Seen), covered: true },
    { ...(seen[0] as Seen), hlc: HLC - 3n, covered: true },
    { ...(seen[0] as Seen), hlc: HLC - 1n, covered: false },
    { ...(seen[0] as Seen), incarnation: fill(8, 3), covered: false }
  ].map(({ covered, hlc, author, incarnation }) => ({
    ...hexes({ hlc: encodeHlc(hlc), author, incarnation }),
    covered
  }))
  const { content, record } = subkeys
  const ids = hexes({ network: network.network, seed: deviceSeed, hlc: encodeHlc(HLC), grant: GRANT, content, record })
  return { ...ids, records, covers, refused }
}

function handovers(): unknown {
  const epochs = [network.network, sha256.digest(counting(32))]
  const first = { epoch: epochs[0]!, epochKey: network.epochKey }
  const later = { epoch: epochs[1]!, epochKey: counting(32) }
  const box = (
    facts: { epoch: Uint8Array; epochKey: Uint8Array; recipient: Uint8Array },
    seed: Uint8Array,
    n: number
  ) => {
    const x25519 = rawPublicKey(privateKey('x25519', seed))
    const all = { network: network.network, ...facts, x25519 }
    const ephemeralSeed = fill(32, n)
    return hexes({ ...all, seed, ephemeralSeed, box: sealHandover(all, ephemeralSeed) })
  }
  const boxes: Array<Record<string, string>> = [
    { what: 'the first epoch for a device', ...box({ ...first, recipient: author }, fill(32, 0x41), 0x51) },
    { what: 'a later epoch for a device', ...box({ ...later, recipient: author }, fill(32, 0x42), 0x52) },
    {
      what: 'a later epoch for the recovery key',
      ...box({ ...later, recipient: network.recovery }, seedOf(network.recoveryKey), 0x53)
    }
  ]
  const good = boxes[0]!.box!
  const refused = {
    'a byte too few': good.slice(2),
    'a byte too many': `${good}00`,
    'another tag': `${good.slice(0, -2)}${good.endsWith('00') ? '01' : '00'}`,
    'an ephemeral key of zeros': `${'00'.repeat(32)}${good.slice(64)}`,
    'an ephemeral key of order eight': `e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800${good.slice(64)}`
  }
  return { boxes, refused }
}

/** A network in which a writer has let a device in by an invite, and the token of that invite. */
function invites(): unknown {
  const seeds = { admin: fill(32, 0x61), writer: fill(32, 0x62), invite: fill(32, 0x63), newcomer: fill(32, 0x64) }
  const keyOf = (seed: Uint8Array) => privateKey('ed25519', seed)
  const id = network.network
  const ask = { network: id, hlc: HLC + 1n }
  const grantOf = (seed: Uint8Array, role: 'admin' | 'writer', name: string) => {
    const subject = rawPublicKey(keyOf(seed))
    return { subject, x25519: fill(32, 0x65), role, epoch: id, name }
  }
  const root = signStatement('grant', grantOf(seeds.admin, 'admin', 'attic'), byRoot)
  const admin = { ...ask, key: keyOf(seeds.admin), grant: root.id }
  const writer = signStatement('grant', grantOf(seeds.writer, 'writer', 'laptop'), admin)
  const key = rawPublicKey(keyOf(seeds.invite))
  const notAfter = encodeHlc(HLC + 100n)
  const invite = signStatement('invite', { key, role: 'writer', notAfter, uses: 2 }, admin)
  const newcomer = grantOf(seeds.newcomer, 'writer', 'phone')
  const facts = { network: id, invite: invite.id, key: newcomer.subject, x25519: newcomer.x25519 }
  const bytes = admitBytes(facts)
  const sigs = {
    inviteSig: sign(null, bytes, keyOf(seeds.invite)),
    subjectSig: sign(null, bytes, keyOf(seeds.newcomer))
  }
  const byWriter = { ...ask, key: keyOf(seeds.writer), grant: writer.id, hlc: HLC + 2n }
  const admitted = signStatement('grant', { ...newcomer, admit: { invite: invite.id, ...sigs } }, byWriter)
  const token: InviteToken = {
    network: id,
    seed: seeds.invite,
    statements: [root.bytes, invite.bytes],
    addresses: ['/ip4/192.0.2.1/tcp/3000', '/dns4/example.org/tcp/443/tls/ws']
  }
  const short: InviteToken = { ...token, statements: [invite.bytes], addresses: [] }
  const text = encodeInviteToken(token)
  const [, body, checksum] = text.split('.') as [string, string, string]
  const textOf = (value: unknown): string => {
    const encoded = encodeCanonical(value)
    return `dfsinvite1.${Buffer.from(encoded).toString('base64url')}.${toHex(sha256.digest(encoded)).slice(0, 8)}`
  }
  return {
    ...hexes({ network: id, ...seeds }),
    admit: hexes({ ...facts, bytes, ...sigs }),
    statements: Object.fromEntries(
      Object.entries({ root, writer, invite, admitted }).map(([what, statement]) => [what, sayStatement(statement)])
    ),
    tokens: [token, short].map(token => ({ ...(say(token) as object), text: encodeInviteToken(token) })),
    none: {
      nothing: '',
      'a capability': formatCapability({ root: someCid, key: fill(32, 0x77) }),
      'another version': text.replace('1', '2'),
      'a cut beginning': text.slice(1),
      'a network key': toHex(networkKey)
    },
    altered: {
      'the version alone': 'dfsinvite1',
      'a cut end': text.slice(0, -1),
      'a part too few': `dfsinvite1.${body}`,
      'a part too many': `${text}.x`,
      'a checksum in capitals': `dfsinvite1.${body}.${checksum.toUpperCase()}`,
      'another checksum': `dfsinvite1.${body}.00000000`,
      'a body with padding': `dfsinvite1.${body}=.${checksum}`,
      'a line break inside': `${text.slice(0, 80)}\n${text.slice(80)}`,
      'another alphabet': `dfsinvite1.${body.replaceAll('-', '+').replaceAll('_', '/')}.${checksum}`,
      'another seed': textOf({ ...token, seed: fill(32, 0x66) }),
      'a network of 31 bytes': textOf({ ...token, network: fill(31, 1) }),
      'a field too many': textOf({ ...token, role: 'admin' }),
      'no statements': textOf({ ...token, statements: [] }),
      '21 statements': textOf({ ...token, statements: [...Array(20).fill(root.bytes), invite.bytes] }),
      'a last statement that is no invite': textOf({ ...token, statements: [invite.bytes, root.bytes] }),
      'a last statement that is none': textOf({ ...token, statements: [root.bytes, fill(3, 1)] }),
      '17 addresses': textOf({ ...token, addresses: Array(17).fill('/ip4/192.0.2.1') }),
      'an empty address': textOf({ ...token, addresses: [''] }),
      'an address of 257 bytes': textOf({ ...token, addresses: [`/${'x'.repeat(256)}`] }),
      'a list': textOf([token]),
      'more than 32768 characters': `dfsinvite1.${'A'.repeat(32_768)}.${checksum}`
    }
  }
}

function approvals(): unknown {
  const side = (n: number) => ({ key: fill(32, n), nonce: fill(32, n + 1) })
  const codes = [
    { dialler: side(0x11), listener: side(0x21), network: network.network },
    { dialler: side(0x21), listener: side(0x11), network: network.network },
    { dialler: { key: author, nonce: counting(32) }, listener: side(0), network: fill(32, 0xff) }
  ].map(facts => ({
    dialler: hexes({ ...facts.dialler }),
    listener: hexes({ ...facts.listener }),
    network: toHex(facts.network),
    code: approvalCode(facts)
  }))
  const typed = ['K7Q2ZD', 'k7q2zd', ' k7q-2zd\n', 'K 7 Q 2 Z D', 'OIL0o1', 'oil-ooo', 'VWXYZ8']
  return {
    commits: [fill(32, 0), counting(32)].map(nonce => hexes({ nonce, commit: commitOf(nonce) })),
    codes,
    typed: typed.map(text => [text, readCode(text)]),
    refusedCodes: ['', 'K7Q2Z', 'K7Q2ZDD', 'K7Q2ZU', 'K7Q2Z!', 'K7Q2Z_', 'K7Q2Z\u017f', 'K7Q2Z\u0131', 'K7Q2Z\uff24'],
    networks: [network.network, fill(32, 0), counting(32)].map(network => ({
      network: toHex(network),
      words: networkWords(network)
    }))
  }
}

function capabilities(): unknown {
  const key = fill(32, 0x77)
  const gateway = 'https://files.example.org:8443/dfs?x=1'
  const good = formatCapability({ root: someCid, key })
  const [, cid, secret] = good.split('.') as [string, string, string]
  return {
    accepted: [
      { root: someCid, key },
      { root: someNode, key: counting(32) },
      { root: someCid, key, gateway }
    ].map(capability => ({
      root: toHex(capability.root.bytes),
      key: toHex(capability.key),
      gateway: 'gateway' in capability ? capability.gateway : null,
      text: formatCapability(capability)
    })),
    refused: {
      'another version': good.replace('1', '2'),
      'no key': `dfscap1.${cid}`,
      'a part too many': `${good}.x`,
      'a key with padding': `${good}=`,
      'a key whose last bits are set': `${good.slice(0, -1)}9`,
      'a short key': good.slice(0, -2),
      'a CID in another base': `dfscap1.${someCid.toString(base58btc)}.${secret}`,
      'a CID with padding': `dfscap1.${cid}=.${secret}`,
      'a CID of version 0': `dfscap1.QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPbdG.${secret}`,
      'plain http': `${good}@http://example.org`,
      'no address': `${good}@`,
      'an address without slashes': `${good}@https:example.org/`,
      'an address without a path': `${good}@https://example.org`,
      'an address in capitals': `${good}@https://Example.org/`,
      'an address with a user': `${good}@https://user@example.org/`,
      'an address with a control character': `${good}@https://example.org/\u001b`,
      'more than 2048 characters': `${good}@https://example.org/${'x'.repeat(2048)}`
    }
  }
}

function paths(): unknown {
  return {
    accepted: [
      { given: '', parts: [], path: '/' },
      { given: '/', parts: [], path: '/' },
      { given: 'a', parts: ['a'], path: '/a' },
      { given: '/a/b c/', parts: ['a', 'b c'], path: '/a/b c' },
      { given: '/...', parts: ['...'], path: '/...' },
      { given: '/a\\b:*\n', parts: ['a\\b:*\n'], path: '/a\\b:*\n' },
      { given: '/re\u0301sume\u0301', parts: ['r\u00e9sum\u00e9'], path: '/r\u00e9sum\u00e9' }
    ],
    refused: [
      '//',
      '/a//b',
      'a//',
      '/.',
      '/a/..',
      '/a\0b',
      '/\ud800',
      '/\ufeffa',
      `/${'é'.repeat(128)}`,
      '/aaa'.repeat(1025)
    ],
    names: ['a', 'r\u00e9sum\u00e9', 'x'.repeat(255)],
    refusedNames: ['', '.', '..', 'a/b', 'a\0', '\ufeffa', 're\u0301sume\u0301', 'x'.repeat(256), '\udc00']
  }
}

write('keys', keys())
write('cids', cids())
write('canonical', canonical())
write('padding', padding())
write('seal', seals())
write('manifest', await manifest())
write('stamps', stamps())
write('statements', statements())
write('entry', entries())
write('handovers', handovers())
write('invites', invites())
write('approval', approvals())
write('capability', capabilities())
write('paths', paths())
const biome = join(root, 'node_modules/@biomejs/biome/bin/biome')
spawnSync(process.execPath, [biome, 'format', '--write', ...written], { cwd: root, stdio: 'inherit' })
