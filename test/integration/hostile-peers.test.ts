import assert from 'node:assert/strict'
import { createHash, randomBytes, sign } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import fc from 'fast-check'
import { CID } from 'multiformats/cid'
import { KEEP_STATES, requestSchema as storeRequest } from '../../src/blocks/protocol/store-messages.ts'
import type { Secrets } from '../../src/disk/keystore.ts'
import { admitBytes } from '../../src/format/admit.ts'
import { commitOf } from '../../src/format/approval.ts'
import { nameBlock } from '../../src/format/cid.ts'
import type { Role } from '../../src/format/kinds.ts'
import { privateKey, rawPublicKey } from '../../src/format/network-key.ts'
import { encodeHlc, hlcAt } from '../../src/format/stamp.ts'
import { type DfsNode, generateNetworkKey } from '../../src/index.ts'
import { requestSchema as syncRequest } from '../../src/log/sync-frames.ts'
import { requestSchema as joinRequest } from '../../src/members/join-messages.ts'
import { LocalMember } from '../../src/members/local-member.ts'
import { systemChance } from '../../src/util/chance.ts'
import { systemClock } from '../../src/util/clock.ts'
import { Libp2pHost } from '../../src/wire/libp2p-host.ts'
import { adminSecrets, entryBy, grantedSecrets } from '../fixtures/member.ts'
import { listing, startNode, until } from '../fixtures/nodes.ts'
import { joinRaw, type RawMember } from '../fixtures/raw-member.ts'
import { openRawPeer, type RawPeer } from '../fixtures/raw-peer.ts'

const JOIN = '/dfs/join/1.0.0'
const SYNC = '/dfs/sync/1.0.0'
const STORE = '/dfs/store/1.0.0'
const GET = '/dfs/get/1.0.0'
const FOR_MEMBERS = [SYNC, STORE, GET]
const HOUR = 60 * 60_000
const timeout = 300_000
const RANDOM_REQUESTS = 60
/** `state` and `lengths`. */
const FIELDS_OF_WAIT = 2

interface Request {
  name: string
  protocol: string
  fields: Record<string, unknown>
  body?: Uint8Array[]
}

interface Stage {
  node: DfsNode
  dataDir: string
  address: string
  networkKey: Uint8Array
  /** An admin of the network, who can sign anything, and a raw member through which it reaches the node. */
  admin: Secrets
  teller: RawMember
  /** A block that the node has. */
  root: CID
}

async function setUp(t: TestContext): Promise<Stage> {
  const networkKey = generateNetworkKey()
  const { node, options } = await startNode(t, { networkKey })
  await node.put('/secret.bin', randomBytes(100_000))
  await node.put('/folder/note.txt', Buffer.from('a small secret'))
  const root = CID.parse((await node.stat('/secret.bin')).root as string)
  const admin = adminSecrets(networkKey, systemClock, systemChance)
  const address = node.multiaddrs[0] as string
  const teller = await joinRaw(t, networkKey, address)
  return { node, dataDir: options.dataDir, address, networkKey, admin, teller, root }
}

/** Pushes these statements to the node, as a member with news does. */
async function tell({ teller }: Stage, statements: readonly Uint8Array[]): Promise<void> {
  const lengths = statements.map(bytes => bytes.byteLength)
  const puts = statements.map(() => null)
  const { fields } = await teller.call(SYNC, { do: 'push', lengths, puts }, [...statements])
  assert.deepEqual(
    fields['verdicts'],
    statements.map(() => 'ok')
  )
}

function granted({ admin }: Stage, role: Role): Secrets {
  return grantedSecrets(admin, systemClock, systemChance, { role })
}

/** Two devices used one invite that was for one. The node knows both, and the second is void. */
async function voidSecrets(stage: Stage): Promise<Secrets> {
  const issuer = new LocalMember(stage.admin, systemClock, systemChance)
  const seed = randomBytes(32)
  const key = privateKey('ed25519', seed)
  const invite = issuer.sign(
    'invite',
    { key: rawPublicKey(key), role: 'writer', notAfter: encodeHlc(hlcAt(systemClock.now() + HOUR)), uses: 1 },
    issuer.nextHlc()
  )
  const grantTo = (device: Uint8Array, x25519Seed: Uint8Array, after: bigint) => {
    const own = privateKey('ed25519', device)
    const x25519 = rawPublicKey(privateKey('x25519', x25519Seed))
    const subject = rawPublicKey(own)
    const data = admitBytes({ network: issuer.network, invite: invite.id, key: subject, x25519 })
    const admit = { invite: invite.id, inviteSig: sign(null, data, key), subjectSig: sign(null, data, own) }
    const fields = { subject, x25519, role: 'writer' as const, epoch: issuer.network, name: 'late', admit }
    return issuer.sign('grant', fields, issuer.nextHlc(after))
  }
  const [device, x25519] = [randomBytes(32), randomBytes(32)]
  const first = grantTo(randomBytes(32), randomBytes(32), invite.hlc)
  const late = grantTo(device, x25519, first.hlc)
  const above = issuer.support.map(({ bytes }) => bytes)
  await tell(stage, [...above, invite.bytes, first.bytes, late.bytes])
  const { network } = issuer
  return { device, x25519, names: randomBytes(32), network, epochs: [], grants: [...above, invite.bytes, late.bytes] }
}

/** Everything that nobody but a member may change. */
async function stateOf({ node, dataDir }: Stage): Promise<unknown> {
  const { files, owed, atRisk, state, waiting, role } = await node.status()
  const members = (await node.members()).map(({ peerId, name, role, state }) => ({ peerId, name, role, state }))
  const paths = (await readdir(dataDir, { recursive: true })).filter(path => /^(blocks|segments)\//.test(path)).sort()
  const digests: string[] = []
  for (const path of paths) {
    const bytes = await readFile(join(dataDir, path)).catch(() => Buffer.alloc(0))
    digests.push(`${path} ${createHash('sha256').update(bytes).digest('hex')}`)
  }
  return { files, owed, atRisk, state, waiting, role, members, tree: await listing(node), digests }
}

/** Every request of every protocol, in a form that a member would send. */
function requestsOf(stage: Stage, peer: RawPeer, signer: LocalMember): Request[] {
  const entry = entryBy(signer, systemChance, hlcAt(systemClock.now())).bytes
  const settings = signer.sign('settings', { replicas: 0 }, hlcAt(systemClock.now())).bytes
  const subject = randomBytes(32)
  const grant = signer.sign(
    'grant',
    { subject, x25519: subject, role: 'admin', epoch: signer.network, name: 'friend' },
    hlcAt(systemClock.now())
  ).bytes
  const block = randomBytes(1_000)
  const cid = nameBlock(block)
  const put = randomBytes(16)
  const push = (name: string, bytes: Uint8Array): Request => {
    return { name, protocol: SYNC, fields: { do: 'push', lengths: [bytes.byteLength], puts: [null] }, body: [bytes] }
  }
  const keep = (name: string, fields: Record<string, unknown>, body: Uint8Array[] = []): Request => {
    return { name, protocol: STORE, fields, body }
  }
  const join = (name: string, fields: Record<string, unknown> = {}, body: Uint8Array[] = []): Request => {
    return { name, protocol: JOIN, fields: { do: name, ...fields }, body }
  }
  const nonce = randomBytes(32)
  const now = Math.round(systemClock.now())
  const support = signer.support.map(({ bytes }) => bytes)
  const lengths = support.map(bytes => bytes.byteLength)
  const asking = { nonce, name: 'me', role: 'writer', x25519: randomBytes(32), now }
  const entering = { name: 'me', x25519: randomBytes(32), inviteSig: randomBytes(64), subjectSig: randomBytes(64) }
  return [
    join('hello', { commit: commitOf(nonce) }),
    join('wait'),
    join('withdraw'),
    join('prove', { network: signer.network, instance: signer.instance, lengths, now }, support),
    join('admitted'),
    join('alive'),
    join('alive', { twice: true }),
    join('ask', { ...asking, nonce: randomBytes(32) }),
    join('enter', { ...entering, lengths, now }, support),
    join('key', { epoch: signer.network }),
    join('waiting'),
    join('deny', { code: 'K7Q2ZD' }),
    push('push of an entry', entry),
    push('push of settings', settings),
    push('push of a grant', grant),
    ...[0, 1].map(of => ({ name: 'list', protocol: SYNC, fields: { do: 'list', class: of, after: null } })),
    { name: 'news', protocol: SYNC, fields: { do: 'news', class: 0, lineage: randomBytes(16), after: 0 } },
    { name: 'fetch', protocol: SYNC, fields: { do: 'fetch' }, body: [randomBytes(32)] },
    { name: 'offer', protocol: SYNC, fields: { do: 'offer' }, body: [randomBytes(32)] },
    { name: 'changed', protocol: SYNC, fields: { do: 'changed' } },
    keep('keep inline', { put, cids: [cid], lengths: [block.byteLength], until: 60_000, fetch: true }, [block]),
    keep('keep by pull', { put, cids: [cid], lengths: [0], until: 60_000, fetch: true }),
    keep('keep root', { put, root: stage.root, first: 0, until: 60_000, fetch: true }, [Uint8Array.of(1)]),
    keep('debt', { view: randomBytes(32), root: cid, first: 0, fetch: true }, [Uint8Array.of(1)]),
    keep('hold', { view: randomBytes(32), root: stage.root, first: 0, fetch: false, nonce, records: [] }, [
      Uint8Array.of(1)
    ]),
    keep('ended', { put, ended: true }),
    { name: 'get', protocol: GET, fields: { cid: stage.root } }
  ].map(request => ({ ...request, peer }))
}

const VALUES = fc.oneof(
  fc.constantFrom<unknown>('hello', 'prove', 'ask', 'enter', 'push', 'fetch', 'list', 'keep', null, true, [], {}),
  fc.integer(),
  fc.string({ maxLength: 40 }),
  fc.uint8Array({ maxLength: 64 })
)
const RANDOM = fc.record({
  protocol: fc.constantFrom(JOIN, ...FOR_MEMBERS),
  fields: fc.dictionary(
    fc.constantFrom('do', 'class', 'after', 'lengths', 'put', 'cids', 'cid', 'root', 'now'),
    VALUES
  ),
  body: fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 2 })
})

interface Outcome {
  name: string
  protocol: string
  answer: string
  bytes: number
}

/** Sends everything, and returns what came back. */
async function attack(stage: Stage, peer: RawPeer, signer: LocalMember): Promise<Outcome[]> {
  const { node, address } = stage
  const random = fc.sample(RANDOM, RANDOM_REQUESTS).map(request => ({ ...request, name: 'random' }))
  const outcomes: Outcome[] = []
  for (const { name, protocol, fields, body } of [...requestsOf(stage, peer, signer), ...random]) {
    // A fault ends a connection. A hostile program dials again, and waits while it is told to.
    await until('connected', async () => {
      if (peer.host.isConnected(node.peerId)) return true
      return peer.host.dial([address], { signal: AbortSignal.timeout(5_000) }).then(
        () => true,
        () => false
      )
    })
    try {
      const reply = await peer.call(node.peerId, protocol, fields, body)
      const { states } = reply.fields as { states?: Uint8Array }
      const kept = states === undefined ? undefined : [...states].map(state => KEEP_STATES[state] as string)
      const verdicts = (reply.fields['verdicts'] as string[] | undefined) ?? kept
      const bytes = reply.body.byteLength + Object.keys(reply.fields).length
      outcomes.push({ name, protocol, answer: verdicts?.join() ?? 'ok', bytes })
    } catch (error) {
      const { status, name: kind } = error as { status?: string; name: string }
      outcomes.push({ name, protocol, answer: status ?? kind, bytes: 0 })
    }
  }
  return outcomes
}

async function dial({ address }: Stage, peer: RawPeer): Promise<void> {
  await peer.host.dial([address], { signal: AbortSignal.timeout(10_000) })
  if (peer.self !== undefined) await until('an end', async () => peer.outcomes.length > 0)
}

test('hostile programs send every form of request of every protocol that a node serves', { timeout }, async t => {
  const serves = t.mock.method(Libp2pHost.prototype, 'handle')
  const stage = await setUp(t)
  const served = new Set(serves.mock.calls.map(({ arguments: [protocol] }) => protocol))
  serves.mock.restore()
  const peer = await openRawPeer(t, undefined)
  const requests = requestsOf(stage, peer, new LocalMember(granted(stage, 'writer'), systemClock, systemChance))
  assert.deepEqual([...new Set(requests.map(({ protocol }) => protocol))].sort(), [...served].sort())
  assert.deepEqual([JOIN, ...FOR_MEMBERS].sort(), [...served].sort())
  const forms = { [JOIN]: joinRequest.options, [SYNC]: syncRequest.options, [STORE]: storeRequest.options }
  for (const [protocol, options] of Object.entries(forms))
    for (const [i, option] of options.entries()) {
      const isSent = requests.some(request => request.protocol === protocol && option.safeParse(request.fields).success)
      assert.ok(isSent, `form ${i} of ${protocol}`)
    }
})

test('programs with an identity and no valid grant get nothing written, read or counted', {
  timeout: 300_000
}, async t => {
  const stage = await setUp(t)
  const ended = grantedSecrets(stage.admin, systemClock, systemChance, {
    role: 'writer',
    notAfter: hlcAt(systemClock.now() - 1)
  })
  const foreign = adminSecrets(generateNetworkKey(), systemClock, systemChance)
  const outsiders: Record<string, Secrets | undefined> = {
    'without a grant': undefined,
    'with a grant that has ended': ended,
    'with a grant that is void': await voidSecrets(stage),
    'with a grant of another network': foreign,
    'with a grant of another device': { ...granted(stage, 'admin'), device: randomBytes(32) }
  }
  const before = await stateOf(stage)
  for (const [name, secrets] of Object.entries(outsiders)) {
    const peer = await openRawPeer(t, secrets)
    await dial(stage, peer)
    assert.ok(!peer.outcomes.includes('admitted'), name)
    const signer = peer.self ?? new LocalMember(granted(stage, 'writer'), systemClock, systemChance)
    const outcomes = await attack(stage, peer, signer)
    const answered = outcomes.filter(
      ({ protocol, bytes, answer }) => FOR_MEMBERS.includes(protocol) && (bytes > 0 || answer === 'ok')
    )
    assert.deepEqual(answered, [], name)
    const answers = outcomes.filter(({ protocol, answer }) => protocol === JOIN && answer === 'ok')
    const spoken = new Set(answers.map(({ name }) => name))
    assert.deepEqual([...spoken].sort(), ['hello', 'wait', 'withdraw'], name)
    // `withdraw` takes back only the peer's own request. A peer is told that it has no request waiting. Only a device
    // that was a member is told more: why its grant is void.
    const told = answers.filter(outcome => outcome.name === 'wait' && outcome.bytes > FIELDS_OF_WAIT)
    assert.equal(told.length, name === 'with a grant that is void' ? 1 : 0, name)
    await peer.host.stop()
  }
  assert.deepEqual(await stateOf(stage), before)
  assert.ok((await stage.node.get('/secret.bin')) !== undefined)
})

test('a reader and a storage member that are hostile read what they may, and change nothing', {
  timeout: 300_000
}, async t => {
  const stage = await setUp(t)
  for (const role of ['reader', 'storage'] as const) {
    const secrets = granted(stage, role)
    const peer = await openRawPeer(t, secrets)
    await dial(stage, peer)
    assert.deepEqual(peer.outcomes, ['admitted'])
    const before = await stateOf(stage)
    const outcomes = await attack(stage, peer, peer.self as LocalMember)
    const answerTo = (name: string) => outcomes.find(outcome => outcome.name === name)?.answer
    assert.equal(answerTo('get'), 'ok', role)
    assert.equal(answerTo('list'), 'ok', role)
    for (const name of ['push of an entry', 'push of settings', 'push of a grant'])
      assert.equal(answerTo(name), 'forbidden', `${role}: ${name}`)
    for (const name of ['keep inline', 'keep by pull']) assert.equal(answerTo(name), 'refused', `${role}: ${name}`)
    for (const name of ['waiting', 'deny']) assert.equal(answerTo(name), 'forbidden', `${role}: ${name}`)
    assert.equal(answerTo('key'), role === 'reader' ? 'ok' : 'forbidden')
    assert.deepEqual(await stateOf(stage), before, role)
    await peer.host.stop()
    await until('gone', async () => (await stage.node.status()).peersConnected === 1)
  }
})
