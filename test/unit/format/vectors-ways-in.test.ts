import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { admitBytes } from '../../../src/format/admit.ts'
import { approvalCode, commitOf, networkWords, readCode } from '../../../src/format/approval.ts'
import { FormatError, InviteAlteredError, SealError } from '../../../src/format/errors.ts'
import { openHandover, sealHandover } from '../../../src/format/handover.ts'
import { decodeInviteToken, encodeInviteToken, inviteOf } from '../../../src/format/invite-token.ts'
import {
  type AnyStatement,
  decodeStatement,
  idOf,
  verifySignature,
  verifyStatement
} from '../../../src/format/statement.ts'
import {
  admitBySpec,
  boxBySpec,
  bytes,
  codeBySpec,
  commitBySpec,
  ed25519,
  hex,
  hkdf,
  privateKey,
  publicHalf,
  statementBySpec,
  tokenBySpec,
  toSecond,
  wordsBySpec
} from '../../fixtures/format-by-spec.ts'

/** The formats of the ways into a network against `test/vectors/`, by the code and by the second implementation. */

function read<T>(name: string): T {
  return JSON.parse(readFileSync(join(import.meta.dirname, `../../vectors/${name}.json`), 'utf8')) as T
}

type Box = Record<
  'network' | 'epoch' | 'recipient' | 'x25519' | 'epochKey' | 'seed' | 'ephemeralSeed' | 'box',
  string
> & {
  what: string
}

test('handovers.json: boxes are sealed, opened and refused', () => {
  const { boxes, refused } = read<{ boxes: Box[]; refused: Record<string, string> }>('handovers')
  for (const { what, seed, ephemeralSeed, box, ...said } of boxes) {
    const { network, epoch, recipient, x25519, epochKey } = said
    const facts = {
      network: bytes(network),
      epoch: bytes(epoch),
      recipient: bytes(recipient),
      x25519: bytes(x25519),
      epochKey: bytes(epochKey)
    }
    assert.equal(hex(publicHalf(privateKey('6e', bytes(seed)))), x25519, what)
    assert.equal(hex(boxBySpec(facts, bytes(ephemeralSeed))), box, what)
    assert.equal(hex(sealHandover(facts, bytes(ephemeralSeed))), box, what)
    assert.equal(hex(openHandover({ ...facts, x25519: privateKey('6e', bytes(seed)) }, bytes(box))), epochKey, what)
  }
  const { network, epoch, recipient, seed } = boxes[0] as Box
  const facts = { network: bytes(network), epoch: bytes(epoch), recipient: bytes(recipient) }
  const x25519 = privateKey('6e', bytes(seed))
  for (const [what, box] of Object.entries(refused))
    assert.throws(() => openHandover({ ...facts, x25519 }, bytes(box)), SealError, what)
})

test('handovers.json: the recovery key is derived from the network key alone', () => {
  const [{ key, recovery }] = read<{ networks: [{ key: string; recovery: string }] }>('keys').networks
  const { boxes } = read<{ boxes: Box[] }>('handovers')
  const box = boxes.find(({ recipient }) => recipient === recovery)
  assert.equal(box?.seed, hex(hkdf(bytes(key), 'recovery')))
  assert.equal(box?.x25519, recovery)
})

interface SaidStatement {
  kind: string
  grant: string | null
  fields: unknown
  hlc: string
  sig: string
  id: string
  bytes: string
}

interface Invites {
  network: string
  admin: string
  writer: string
  invite: string
  newcomer: string
  admit: Record<'network' | 'invite' | 'key' | 'x25519' | 'bytes' | 'inviteSig' | 'subjectSig', string>
  statements: Record<'root' | 'writer' | 'invite' | 'admitted', SaidStatement>
  tokens: Array<{ network: string; seed: string; statements: string[]; addresses: string[]; text: string }>
  none: Record<string, string>
  altered: Record<string, string>
}

test('invites.json: what the invite and the newcomer sign, and the grant that holds both signatures', async () => {
  const { admit, statements, network, ...seeds } = read<Invites>('invites')
  const facts = {
    network: bytes(admit.network),
    invite: bytes(admit.invite),
    key: bytes(admit.key),
    x25519: bytes(admit.x25519)
  }
  const data = admitBytes(facts)
  assert.equal(hex(data), admit.bytes)
  assert.equal(hex(admitBySpec(facts.network, facts.invite, facts.key, facts.x25519)), admit.bytes)
  assert.equal(admit.invite, statements.invite.id)
  for (const [key, sig] of [
    [publicHalf(ed25519(bytes(seeds.invite))), admit.inviteSig],
    [publicHalf(ed25519(bytes(seeds.newcomer))), admit.subjectSig]
  ] as const)
    assert.ok(await verifySignature({ key, data, sig: bytes(sig) }))

  // The root key signs the first grant, and its public half is the id of the network.
  const authors: Record<keyof Invites['statements'], Buffer> = {
    root: bytes(network),
    writer: publicHalf(ed25519(bytes(seeds.admin))),
    invite: publicHalf(ed25519(bytes(seeds.admin))),
    admitted: publicHalf(ed25519(bytes(seeds.writer)))
  }
  for (const [what, author] of Object.entries(authors) as Array<[keyof typeof authors, Buffer]>) {
    const said = statements[what]
    const statement: AnyStatement = decodeStatement(bytes(said.bytes))
    assert.equal(idOf(statement), said.id)
    assert.ok(await verifyStatement(statement, bytes(network), author), what)
  }
  for (const [what, seed] of [
    ['writer', seeds.admin],
    ['invite', seeds.admin],
    ['admitted', seeds.writer]
  ] as const) {
    const { kind, hlc, grant, fields, bytes: whole } = statements[what]
    const second = statementBySpec(
      kind,
      bytes(network),
      bytes(hlc),
      bytes(grant as string),
      toSecond(fields) as object,
      bytes(seed)
    )
    assert.equal(hex(second.bytes), whole, what)
  }
  const admitted = decodeStatement(bytes(statements.admitted.bytes))
  assert.ok(admitted.kind === 'grant' && admitted.fields.admit !== undefined)
  assert.equal(hex(admitted.fields.admit.inviteSig), admit.inviteSig)
  assert.equal(hex(admitted.fields.admit.subjectSig), admit.subjectSig)
})

test('invites.json: tokens are written and read, and any other text is refused', () => {
  const { tokens, none, altered, statements } = read<Invites>('invites')
  for (const { text, ...said } of tokens) {
    assert.equal(tokenBySpec(toSecond(said) as object), text)
    const token = decodeInviteToken(text)
    assert.equal(encodeInviteToken(token), text)
    assert.deepEqual(
      [token.network, token.seed, ...token.statements].map(part => `0x${hex(part)}`),
      [said.network, said.seed, ...said.statements]
    )
    assert.deepEqual(token.addresses, said.addresses)
    assert.equal(idOf(inviteOf(token)), statements.invite.id)
  }
  for (const [what, text] of Object.entries(none)) assert.throws(() => decodeInviteToken(text), FormatError, what)
  for (const [what, text] of Object.entries(altered))
    assert.throws(() => decodeInviteToken(text), InviteAlteredError, what)
})

interface Approval {
  commits: Array<Record<'nonce' | 'commit', string>>
  codes: Array<{
    dialler: Record<'key' | 'nonce', string>
    listener: Record<'key' | 'nonce', string>
    network: string
    code: string
  }>
  typed: Array<[string, string]>
  refusedCodes: string[]
  networks: Array<Record<'network' | 'words', string>>
}

test('approval.json: commitments, codes and the words of networks', () => {
  const { commits, codes, typed, refusedCodes, networks } = read<Approval>('approval')
  for (const { nonce, commit } of commits) {
    assert.equal(hex(commitOf(bytes(nonce))), commit)
    assert.equal(hex(commitBySpec(bytes(nonce))), commit)
  }
  for (const { dialler, listener, network, code } of codes) {
    const sideOf = ({ key, nonce }: typeof dialler) => ({ key: bytes(key), nonce: bytes(nonce) })
    const [d, l] = [sideOf(dialler), sideOf(listener)]
    assert.equal(approvalCode({ dialler: d, listener: l, network: bytes(network) }), code)
    assert.equal(codeBySpec([d.nonce, l.nonce], [d.key, l.key], bytes(network)), code)
    assert.equal(readCode(code), code)
  }
  for (const [text, code] of typed) assert.equal(readCode(text), code, JSON.stringify(text))
  for (const text of refusedCodes) assert.equal(readCode(text), undefined, JSON.stringify(text))
  for (const { network, words } of networks) {
    assert.equal(networkWords(bytes(network)), words)
    assert.equal(wordsBySpec(bytes(network)), words)
  }
})
