import assert from 'node:assert/strict'
import { sign } from 'node:crypto'
import type { TestContext } from 'node:test'
import type { Secrets } from '../../../src/disk/keystore.ts'
import { encodeCanonical } from '../../../src/format/canonical.ts'
import { encodeHlc } from '../../../src/format/stamp.ts'
import type { Statement } from '../../../src/format/statement.ts'
import { LocalMember } from '../../../src/members/local-member.ts'
import type { Clock } from '../../../src/util/clock.ts'
import type { ComponentLogger } from '../../../src/util/logger.ts'
import { ManualClock } from '../../fixtures/clock.ts'
import type { FakeFiles } from '../../fixtures/fake-files.ts'
import { adminSecrets, TestMember } from '../../fixtures/member.ts'
import { MemoryNetwork } from '../../fixtures/memory-host.ts'
import { settle } from '../../fixtures/pass-time.ts'
import { seededChance } from '../../fixtures/seeded-chance.ts'

export const MINUTE = 60_000
/** The network key of all tests here. */
export const KEY = Buffer.alloc(32, 7)
/** Takes enough turns for other threads to check signatures, but too little time for any retry. */
export const SOON = { stepMs: 10, msMax: 4_000 }

/** Members of one network. The test controls their time. */
export class Setup {
  readonly clock = new ManualClock()
  readonly chance = seededChance(9)
  readonly network = new MemoryNetwork({ clock: this.clock })
  readonly #t: TestContext

  constructor(t: TestContext) {
    this.#t = t
  }

  admin(name: string): Secrets {
    return adminSecrets(KEY, this.clock, this.chance, name)
  }

  /** A running member at `/memory/NAME`, which knows the addresses of the others. */
  async member(
    name: string,
    {
      bootstrap = [],
      ...more
    }: { bootstrap?: string[]; clock?: Clock; files?: FakeFiles; secrets?: Secrets; logger?: ComponentLogger } = {}
  ): Promise<TestMember> {
    const { chance, clock, network } = this
    const secrets = more.secrets ?? this.admin(name)
    const host = network.host(name, new LocalMember(secrets, clock, chance).peerId)
    const options = { clock, chance, host, ...more, secrets }
    const member = await TestMember.open({ ...options, bootstrap: bootstrap.map(other => `/memory/${other}`) })
    await member.start()
    this.#t.after(() => member.stop())
    await settle()
    return member
  }

  /** The statements that the log keeps of a member that has left: its grants and its status. */
  leftBy(secrets: Secrets): Statement[] {
    const self = new LocalMember(secrets, this.clock, this.chance)
    return [...self.statements, statusOf(self)]
  }
}

function statusOf(self: LocalMember): Statement<'status'> {
  const { instance } = self
  const head = encodeHlc(0n)
  const fields = { instance, addresses: [], weight: 5, state: 'in' as const, outAfter: 10 * MINUTE, head }
  return self.sign('status', fields, self.nextHlc())
}

/** The member receives these statements and accepts all of them. */
export async function take(member: TestMember, statements: readonly Statement[], from = 'somebody'): Promise<void> {
  const verdicts = await member.log.receive(
    statements.map(({ bytes }) => bytes),
    from
  )
  assert.deepEqual(new Set(verdicts), new Set(['ok']))
}

/** A statement of a kind or version that this release does not know, with a valid signature. */
export function laterStatement(
  self: LocalMember,
  kind: string,
  v: number,
  fields: object = { colour: 'red' }
): Uint8Array {
  const hlc = encodeHlc(self.nextHlc())
  const rest = { kind, v, hlc, grant: self.grant.id, ...fields }
  const signed = Buffer.concat([Buffer.from(`dfs/${kind}/${v}\0`), self.network, encodeCanonical(rest)])
  return encodeCanonical({ ...rest, sig: sign(null, signed, self.key) })
}
