import type { TestContext } from 'node:test'
import type { Secrets } from '../../../../src/disk/keystore.ts'
import type { Role } from '../../../../src/format/kinds.ts'
import { LocalMember } from '../../../../src/members/local-member.ts'
import type { Clock } from '../../../../src/util/clock.ts'
import { ManualClock } from '../../../fixtures/clock.ts'
import { type Candidate, drawCandidate, Entrant, peerOf } from '../../../fixtures/entrant.ts'
import { RecordingLogger } from '../../../fixtures/logger.ts'
import { adminSecrets, grantedSecrets, type MemberOptions, TestMember } from '../../../fixtures/member.ts'
import { type MemoryHost, MemoryNetwork } from '../../../fixtures/memory-host.ts'
import { settle, timePassesUntil } from '../../../fixtures/pass-time.ts'
import { seededChance } from '../../../fixtures/seeded-chance.ts'

export const KEY = Buffer.alloc(32, 7)
/** Many turns, in which other threads check signatures, and little time. */
export const SOON = { stepMs: 10, msMax: 4_000 }

export type RunningEntrant = Entrant & { host: MemoryHost }

/** A network in one process, over hosts in memory and a clock that a test moves. */
export class Setup {
  readonly clock = new ManualClock()
  readonly chance = seededChance(31)
  readonly logger = new RecordingLogger()
  readonly network = new MemoryNetwork({ clock: this.clock })
  readonly admin: Secrets = adminSecrets(KEY, this.clock, this.chance, 'attic')
  readonly #t: TestContext

  constructor(t: TestContext) {
    this.#t = t
  }

  granted(role: Role, name: string = role): Secrets {
    return grantedSecrets(this.admin, this.clock, this.chance, { role, name })
  }

  async member(name: string, secrets: Secrets, more: Partial<MemberOptions> = {}): Promise<TestMember> {
    const { clock, chance, network, logger } = this
    const host = network.host(name, new LocalMember(secrets, clock, chance).peerId)
    const member = await TestMember.open({ clock, chance, host, secrets, logger, ...more })
    await member.start()
    this.#t.after(() => member.stop())
    await settle()
    return member
  }

  /** A machine that is not a member, connected to a member. */
  async entrant(
    to: TestMember,
    more: { name?: string; candidate?: Candidate; clock?: Clock } = {}
  ): Promise<RunningEntrant> {
    const { name = 'laptop', candidate = drawCandidate(this.chance), clock = this.clock } = more
    const host = this.network.host(name, peerOf(candidate))
    await host.start()
    this.#t.after(() => host.stop())
    await this.dial(host, to)
    const entrant = new Entrant(host, candidate, { clock, chance: this.chance, name })
    return Object.assign(entrant, { host })
  }

  async dial(host: MemoryHost, to: TestMember): Promise<void> {
    const { host: listener } = to
    await host.dial([(listener as MemoryHost).address], { signal: AbortSignal.timeout(5_000), peer: to.peer })
    await settle()
  }

  /** Lets members find each other: the first is the bootstrap of the others. */
  addressOf(member: TestMember): string {
    return (member.host as MemoryHost).address
  }

  async admitted(one: TestMember, other: TestMember): Promise<void> {
    const isMet = (): boolean => one.members.admitted.includes(other.peer) && other.members.admitted.includes(one.peer)
    await timePassesUntil(this.clock, 'they are admitted', isMet)
  }
}

export async function statusOf(work: Promise<unknown>): Promise<string> {
  return work.then(
    () => 'ok',
    error => (error as { status?: string }).status ?? (error as { code?: string }).code ?? (error as Error).name
  )
}
