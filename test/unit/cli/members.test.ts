import assert from 'node:assert/strict'
import { test } from 'node:test'
import { memberLines } from '../../../src/cli/commands/members.ts'
import type { AnswerOf } from '../../../src/contract/verbs.ts'
import type { MemberItem } from '../../../src/index.ts'
import { setUpDfs } from '../../fixtures/dfs.ts'
import { Fault } from '../../fixtures/fake-node.ts'
import { jsonLines } from '../../fixtures/program.ts'

const NOW_MS = Date.parse('2026-11-26T07:00:00Z')
const LAPTOP = '12D3KooWAAAAAAAASRNC72kd'

function item(facts: Partial<MemberItem>): MemberItem {
  const { expires = null, lastSeen = null } = facts
  const rest = {
    peerId: LAPTOP,
    name: 'laptop',
    role: 'writer' as const,
    state: 'in' as const,
    code: null,
    self: false
  }
  return { ...rest, address: null, admittedBy: null, invite: null, ...facts, expires, lastSeen }
}

function lines(items: readonly MemberItem[]): string[] {
  return memberLines(JSON.parse(JSON.stringify(items)) as AnswerOf<'members'>, NOW_MS)
}

test('the table of members shows who is here, who let whom in, and the codes of those who wait', () => {
  const attic = '12D3KooWAAAAAAAAKfPgV9aa'
  const at = (ms: number): Date => new Date(NOW_MS + ms)
  assert.deepEqual(
    lines([
      item({
        name: 'attic',
        peerId: attic,
        role: 'admin',
        self: true,
        lastSeen: at(0),
        address: '/ip4/192.168.1.20/tcp/1'
      }),
      item({
        lastSeen: at(-2_000),
        address: '/ip6/fd00::1/tcp/3000',
        admittedBy: { peerId: attic, name: 'attic' },
        invite: 'aa'.repeat(32)
      }),
      item({ name: 'old', state: 'out', lastSeen: at(-3 * 86_400_000), address: '/dns4/old.example/tcp/1' }),
      item({ name: 'box', role: 'storage', state: 'removed', lastSeen: at(-3 * 3_600_000), address: '/memory/7' }),
      item({
        ...{ name: 'phone', state: 'pending', code: 'K7Q2ZD', expires: at(8 * 60_000 + 9_000), peerId: null },
        lastSeen: at(0)
      }),
      // A machine that waits, and that was switched off.
      item({ name: 'tab', state: 'pending', code: 'M2Q2ZD', expires: at(8 * 60_000 + 9_000), peerId: null })
    ]),
    [
      'NAME    ROLE     STATE    LAST SEEN                ADDRESS       LET IN BY         PEER',
      'attic   admin    in       this one                 192.168.1.20  the network key   …KfPgV9aa',
      'laptop  writer   in       now                      fd00::1       attic, by invite  …SRNC72kd',
      'old     writer   out      3 days ago               old.example   the network key   …SRNC72kd',
      'box     storage  removed  3 h ago                  -             the network key   …SRNC72kd',
      'phone   writer   pending  code K7Q2ZD, 8 min left  -             -                 -',
      'tab     writer   gone     code M2Q2ZD, 8 min left  -             -                 -'
    ]
  )
})

test('the name of another machine cannot forge a row or move the cursor', async t => {
  const { node, dfs } = await setUpDfs(t)
  node.hooks.members = async () => [
    item({ name: 'a\n\u001b[2Jadmin', admittedBy: { peerId: LAPTOP, name: 'b\r\u202e' } }),
    item({ name: '日本' })
  ]
  const shown = await dfs(['members'])
  assert.equal(shown.code, 0, shown.stderr)
  const [head, forged, ...rest] = shown.stdout.toString().trimEnd().split('\n')
  assert.equal(rest.length, 1)
  assert.match(forged ?? '', /^a\\u\{a\}\\u\{1b\}\[2Jadmin {2}writer .* b\\u\{d\}\\u\{202e\} /)
  assert.equal(head?.indexOf('ROLE'), forged?.indexOf('writer'))
})

test('dfs --json members prints one array with every field', async t => {
  const { node, dfs } = await setUpDfs(t)
  const found = [
    item({ state: 'pending', code: 'K7Q2ZD', expires: new Date(0) }),
    item({ self: true, lastSeen: new Date(0) })
  ]
  node.hooks.members = async () => found
  const [items] = jsonLines(await dfs(['--json', 'members']))
  assert.deepEqual(items, JSON.parse(JSON.stringify(found)))
})

test('approve, deny and role print what they did, and pass their arguments on to the node', async t => {
  const { node, dfs } = await setUpDfs(t)
  const cases: Array<[string[], string, string, object]> = [
    [['approve', 'K7Q2ZD', '--role', 'writer'], 'laptop is in, as writer', 'approve K7Q2ZD', { role: 'writer' }],
    [['approve', 'k7q2zd'], 'laptop is in, as reader', 'approve k7q2zd', { role: undefined }],
    [['deny', 'K7Q2ZD'], 'laptop was turned away', 'deny K7Q2ZD', {}],
    [['role', 'attic', 'admin'], 'attic is an admin now', 'setRole attic admin', {}],
    [['role', 'box', 'storage'], 'box is a storage member now', 'setRole box storage', {}]
  ]
  for (const [args, words, call, options] of cases) {
    const result = await dfs(['members', ...args])
    assert.deepEqual([result.code, result.stdout.toString()], [0, `${words}\n`], result.stderr)
    const made = node.calls.pop()
    assert.ok(made !== undefined)
    const { signal: _, ...rest } = made.options as Record<string, unknown>
    assert.deepEqual([made.call, rest], [call, options])
  }
  const [admitted] = jsonLines(await dfs(['--json', 'members', 'approve', 'K7Q2ZD']))
  assert.deepEqual(admitted, { peerId: 'fake-peer', name: 'laptop', role: 'reader' })
  const [denied] = jsonLines(await dfs(['--json', 'members', 'deny', 'K7Q2ZD']))
  assert.deepEqual(Object.keys(denied ?? {}), ['peerId', 'name', 'role'])
})

test('out prints that the others take over, that it was so before, or that the member runs', async t => {
  const { node, dfs } = await setUpDfs(t)
  const vm = { peerId: '12D3KooWaaaaaaaa', name: 'v\nm', role: 'writer' as const, connected: false }
  const cases = [
    [vm, 'v\\u{a}m (…aaaaaaaa) is out: the others take over its part. It counts again when it comes back'],
    [{ ...vm, already: true as const }, 'v\\u{a}m (…aaaaaaaa) is already out, and counts again when it comes back'],
    [
      { ...vm, connected: true },
      'v\\u{a}m (…aaaaaaaa) is out, but it is connected and counts again in a moment: stop it first'
    ]
  ] as const
  for (const [declared, words] of cases) {
    node.hooks.declareOut = async () => declared
    const result = await dfs(['members', 'out', 'vm'])
    assert.deepEqual([result.code, result.stdout.toString()], [0, `${words}\n`], result.stderr)
    assert.equal(node.calls.pop()?.call, 'declareOut vm')
    assert.deepEqual(jsonLines(await dfs(['--json', 'members', 'out', 'vm'])), [declared])
  }
  for (const [code, exit] of [
    ['not-found', 3],
    ['not-allowed', 4],
    ['invalid', 2]
  ] as const) {
    node.hooks.declareOut = async () => {
      throw new Fault(code, `because of ${code}`)
    }
    const result = await dfs(['members', 'out', 'vm'])
    assert.deepEqual([result.code, result.stderr], [exit, `vm: because of ${code}\n`])
  }
})

test('role says that a member has the role already', async t => {
  const { node, dfs } = await setUpDfs(t)
  node.hooks.setRole = async (name, role) => ({ peerId: 'fake-peer', name, role, already: true })
  assert.equal((await dfs(['members', 'role', 'attic', 'admin'])).stdout.toString(), 'attic is an admin already\n')
})

test('a code that nobody shows, a member that is not an admin, and a lowered role each have their exit code', async t => {
  const { node, dfs } = await setUpDfs(t)
  const cases = [
    ['not-found', 3],
    ['not-allowed', 4],
    ['unsupported', 2],
    ['invalid', 2],
    ['expired', 4],
    ['revoked', 4],
    ['used-up', 4]
  ] as const
  for (const [code, exit] of cases) {
    node.hooks.approve = async () => {
      throw new Fault(code, `because of ${code}`)
    }
    const result = await dfs(['--json', 'members', 'approve', 'K7Q2ZD'])
    assert.equal(result.code, exit, code)
    assert.deepEqual(JSON.parse(result.stderr), { event: 'error', code, message: `K7Q2ZD: because of ${code}` })
  }
})

test('status shows the words of the network, and for a machine that waits only what is known', async t => {
  const { node, dfs } = await setUpDfs(t)
  const status = await node.status()
  const shown = (await dfs(['status'])).stdout.toString()
  assert.match(shown, /^fake \(admin, in\) {2}fake-peer\n {2}network ocean gravity .* \(0{16}…\)\n {2}0 peers/)
  const warnings = ['this machine waits to be let in: on a machine that is already in, run dfs members approve K7Q2ZD']
  node.hooks.status = async () => ({ ...status, state: 'pending', role: 'writer', network: '', words: '', warnings })
  const waiting = await dfs(['status'])
  assert.equal(waiting.stdout.toString(), 'fake (writer, pending)  fake-peer\n')
  assert.equal(waiting.stderr, `  ! ${warnings[0]}\n`)
})

test('approving a code a second time says that the machine is in already, and as what', async t => {
  const { node, dfs } = await setUpDfs(t)
  node.hooks.approve = async () => ({ peerId: LAPTOP, name: 'laptop', role: 'writer', already: true })
  for (const [args, line] of [
    [[], 'laptop is already in, as writer'],
    [['--role', 'writer'], 'laptop is already in, as writer'],
    [['--role', 'admin'], 'laptop is already in, as writer: to change that, run dfs members role laptop admin']
  ] as const) {
    const result = await dfs(['members', 'approve', 'K7Q2ZD', ...args])
    assert.deepEqual([result.code, result.stdout.toString()], [0, `${line}\n`])
  }
  const [json] = jsonLines(await dfs(['--json', 'members', 'approve', 'K7Q2ZD']))
  assert.deepEqual(json, { peerId: LAPTOP, name: 'laptop', role: 'writer', already: true })
})
