import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Verb } from '../../../src/contract/verb.ts'
import { encodeRequest } from '../../../src/contract/verb-request.ts'
import { VERBS } from '../../../src/contract/verbs.ts'
import { type ReceivedFields, VerbFields } from '../../../src/http/verb-fields.ts'
import { FakeNode } from '../../fixtures/fake-node.ts'

const ODD = '/a b/%2e/ü?#&=+"\n'

/** Returns what a server finds in an encoded request. */
function received(verb: Verb, fields: Readonly<Record<string, unknown>>): ReceivedFields {
  const { url, headers, body } = encodeRequest(verb, fields)
  const { pathname, searchParams } = new URL(url, 'http://localhost')
  const found: ReceivedFields = { query: searchParams }
  if (verb.route.endsWith('/*')) found.path = decodeURIComponent(pathname.slice(verb.route.length - 2))
  if (headers['if-match'] !== undefined) found.ifTag = headers['if-match'].slice(1, -1)
  if (body !== undefined) found.json = JSON.parse(Buffer.from(body).toString())
  return found
}

async function callOf(verb: Verb, fields: Readonly<Record<string, unknown>>): Promise<FakeNode['calls'][number]> {
  const node = new FakeNode()
  const options = { signal: new AbortController().signal }
  node.set(ODD, 'x')
  const checked = new VerbFields(verb).check(received(verb, fields))
  if (verb.kind === 'stream') await verb.run(node, checked, options).next()
  else await verb.run(node, checked, options)
  return node.calls[0] as FakeNode['calls'][number]
}

test('every verb calls its method of the node with the fields that the client gave', async () => {
  const cases: Array<[Verb, Record<string, unknown>, string, Record<string, unknown>]> = [
    [
      VERBS.list,
      { path: ODD, recursive: true },
      `list ${ODD}`,
      { recursive: true, here: undefined, deleted: undefined }
    ],
    [
      VERBS.list,
      { path: ODD, recursive: false, here: true },
      `list ${ODD}`,
      { recursive: false, here: true, deleted: undefined }
    ],
    [
      VERBS.list,
      { path: ODD, recursive: true, deleted: true },
      `list ${ODD}`,
      { recursive: true, here: undefined, deleted: true }
    ],
    [VERBS.versions, { path: ODD }, `versions ${ODD}`, {}],
    [VERBS.restore, { path: ODD }, `restore ${ODD}`, { version: undefined }],
    [VERBS.restore, { path: ODD, version: 'abcd' }, `restore ${ODD}`, { version: 'abcd' }],
    [
      VERBS.watch,
      { path: ODD, recursive: true, list: true, since: 'x' },
      `watch ${ODD}`,
      { recursive: true, list: true, since: 'x' }
    ],
    [
      VERBS.watch,
      { path: ODD, recursive: false },
      `watch ${ODD}`,
      { recursive: false, list: undefined, since: undefined }
    ],
    [VERBS.copies, { path: ODD }, `copies ${ODD}`, {}],
    [VERBS.stat, { path: ODD }, `stat ${ODD}`, {}],
    [VERBS.mkdir, { path: ODD }, `mkdir ${ODD}`, {}],
    [VERBS.move, { from: ODD, to: '/to', noClobber: true }, `move ${ODD} /to`, { noClobber: true }],
    [VERBS.copy, { from: ODD, to: '/to' }, `copy ${ODD} /to`, { noClobber: undefined }],
    [VERBS.copying, { from: ODD, to: '/to', noClobber: true }, `copying ${ODD} /to`, { noClobber: true }],
    [VERBS.remove, { path: ODD, recursive: true }, `remove ${ODD}`, { recursive: true }],
    [
      VERBS.remove,
      { path: ODD, recursive: false, purge: true, wait: true },
      `remove ${ODD}`,
      { recursive: false, purge: true, wait: true }
    ],
    [VERBS.cancelPurge, { path: ODD }, `cancelPurge ${ODD}`, {}],
    [
      VERBS.removing,
      { path: ODD, recursive: true, purge: false },
      `removing ${ODD}`,
      { recursive: true, purge: false }
    ],
    [VERBS.remove, { path: ODD, recursive: false, ifTag: 't1' }, `remove ${ODD}`, { recursive: false, ifTag: 't1' }],
    [VERBS.restoring, { path: ODD, version: 'ab' }, `restoring ${ODD}`, { version: 'ab' }],
    [VERBS.evict, { path: ODD }, `evict ${ODD}`, {}],
    [VERBS.gc, { dryRun: true }, 'gc ', { dryRun: true }],
    [VERBS.fsck, { readData: true }, 'fsck ', { readData: true }],
    [VERBS.df, {}, 'df ', {}],
    [VERBS.du, { path: ODD }, `du ${ODD}`, {}],
    [VERBS.members, {}, 'members ', {}],
    [VERBS.approve, { code: ODD, role: 'writer' }, `approve ${ODD}`, { role: 'writer' }],
    [VERBS.approve, { code: ODD }, `approve ${ODD}`, { role: undefined }],
    [VERBS.deny, { code: ODD }, `deny ${ODD}`, {}],
    [VERBS.setRole, { member: ODD, role: 'storage' }, `setRole ${ODD} storage`, {}],
    [VERBS.declareOut, { member: ODD }, `declareOut ${ODD}`, {}],
    [
      VERBS.invite,
      { role: 'admin', expiresMs: 60_000, uses: 'unlimited' },
      'invite ',
      { role: 'admin', expiresMs: 60_000, uses: 'unlimited' }
    ],
    [VERBS.invite, { uses: 3 }, 'invite ', { role: undefined, expiresMs: undefined, uses: 3 }],
    [VERBS.invites, {}, 'invites ', {}],
    [VERBS.revokeInvite, { invite: ODD }, `revokeInvite ${ODD}`, {}],
    [VERBS.networkInfo, {}, 'networkInfo ', {}],
    [VERBS.settings, {}, 'settings ', {}],
    [VERBS.setSetting, { key: ODD, value: 'all' }, `setSetting ${ODD} all`, {}],
    [VERBS.setSetting, { key: ODD, value: 'default' }, `setSetting ${ODD} default`, {}],
    [VERBS.setSetting, { key: 'versionDays', value: 7 }, 'setSetting versionDays 7', {}],
    [VERBS.forgetNetworkKey, {}, 'forgetNetworkKey ', {}]
  ]
  for (const [verb, fields, call, options] of cases) {
    const made = await callOf(verb, fields)
    const { signal, ...rest } = made.options as Record<string, unknown>
    assert.equal(made.call, call)
    assert.deepEqual(rest, options, call)
    assert.ok(signal instanceof AbortSignal, `${call} can be aborted`)
  }
})

test('a field that is missing, wrong or unknown is found before the node is called', () => {
  const query = new URLSearchParams()
  for (const json of [
    undefined,
    null,
    [],
    'x',
    {},
    { from: '/a' },
    { from: 1, to: '/b' },
    { from: '/a', to: '/b', x: 1 }
  ])
    assert.throws(() => new VerbFields(VERBS.move).check({ query, json }), { status: 400 }, JSON.stringify(json))
  assert.throws(() => new VerbFields(VERBS.stat).check({ query }), { status: 400 })
})

test('a role or a number of uses that does not exist is refused before the node is called', () => {
  const query = new URLSearchParams()
  const cases: Array<[Verb, unknown]> = [
    [VERBS.approve, { code: 'K7Q2ZD', role: 'owner' }],
    [VERBS.approve, {}],
    [VERBS.deny, { code: 'K7Q2ZD', role: 'reader' }],
    [VERBS.setRole, { member: 'laptop' }],
    [VERBS.invite, { uses: 'all' }],
    [VERBS.invite, { expiresMs: '24h' }],
    [VERBS.revokeInvite, { id: 'aa' }]
  ]
  for (const [verb, json] of cases)
    assert.throws(() => new VerbFields(verb).check({ query, json }), { status: 400 }, JSON.stringify(json))
})

test('a query cannot replace the path, and its first value counts', async () => {
  const query = new URLSearchParams('path=/other&recursive=true&recursive=false&unknown=1')
  const fields = new VerbFields(VERBS.list).check({ path: '/d', query })
  assert.deepEqual(fields, { path: '/d', recursive: true })
})
