import { Bitmap } from '../../../src/blocks/bitmap.ts'
import { GET_PROTOCOL, STORE_PROTOCOL } from '../../../src/blocks/constants.ts'
import { tagOfContent } from '../../../src/catalog/content-tag.ts'
import { pastOfAll } from '../../../src/catalog/heads.ts'
import type { Tree } from '../../../src/catalog/tree.ts'
import { DAG_CBOR, nameBlock } from '../../../src/format/cid.ts'
import { SEEN_MAX, SEEN_OF_DELETE_MAX } from '../../../src/format/constants.ts'
import { type Seen, signRecord } from '../../../src/format/entry.ts'
import { parsePath } from '../../../src/format/path.ts'
import type { PeerId } from '../../../src/format/peer-id.ts'
import { hlcAfter } from '../../../src/format/stamp.ts'
import type { Statement } from '../../../src/format/statement.ts'
import { SYNC_PROTOCOL } from '../../../src/log/constants.ts'
import { becomeAdmin } from '../../../src/members/founding.ts'
import { Join } from '../../../src/members/join.ts'
import { type Epoch, KeyRing } from '../../../src/members/key-ring.ts'
import { LocalMember } from '../../../src/members/local-member.ts'
import type { Chance } from '../../../src/util/chance.ts'
import { Callers, serveCalls } from '../../../src/wire/calls.ts'
import { silentLogger } from '../../fixtures/logger.ts'
import type { Machine } from './machine.ts'
import { SimHost, type SimNetwork } from './sim-network.ts'
import { SimProcess, type SimTime } from './sim-time.ts'

const BODY_BYTES_MAX = 8 << 20
const REDIAL_MS = 3_000
/** Enough blocks to fill every queue of pulls. */
const STARVING_BLOCKS = 48

/** How a hostile member answers a request for a block. */
export type Serving = 'nothing' | 'never' | 'wrong'

export interface HostileInit {
  time: SimTime
  network: SimNetwork
  networkKey: Uint8Array
  chance: Chance
  machines: readonly Machine[]
  serving: Serving
  weight: number
}

/**
 * A member with a valid grant and bad intentions. It says that it keeps whatever it is asked to keep, and serves
 * nothing. It signs records that no honest member signs, and asks others to keep blocks that it never sends.
 */
export class Hostile {
  readonly peerId: PeerId
  /** Tags of contents that do not exist. */
  readonly foreignTags = new Set<string>()
  readonly #init: HostileInit
  readonly #process: SimProcess
  readonly #host: SimHost
  readonly #self: LocalMember
  readonly #keys: KeyRing
  readonly #join: Join
  readonly #sync: Callers
  readonly #store: Callers

  constructor(init: HostileInit) {
    const { time, network, networkKey, chance } = init
    this.#init = init
    this.#process = new SimProcess(time)
    const clock = this.#process
    const secrets = becomeAdmin({ networkKey, name: 'hostile', keepNetworkKey: false, clock, chance })
    this.#self = new LocalMember(secrets, clock, chance)
    this.#keys = new KeyRing(secrets.epochs)
    this.peerId = this.#self.peerId
    this.#host = new SimHost(network, '/memory/hostile', this.peerId, clock)
    const quiet = (): void => {}
    this.#join = new Join({
      host: this.#host,
      self: this.#self,
      clock,
      chance,
      logger: silentLogger,
      onAdmitted: quiet,
      onDeparted: quiet,
      onRejected: quiet,
      onFault: quiet
    })
    const bounds = { requestBytesMax: BODY_BYTES_MAX, responseBytesMax: BODY_BYTES_MAX, onFault: quiet }
    this.#sync = new Callers(this.#host, clock, { protocol: SYNC_PROTOCOL, ...bounds })
    this.#store = new Callers(this.#host, clock, { protocol: STORE_PROTOCOL, ...bounds })
    this.#serve()
  }

  async start(): Promise<void> {
    await this.#host.start()
    this.#redial()
  }

  /** Stops the member for good. */
  stop(): void {
    this.#process.kill()
    for (const { peer } of this.#host.connections())
      for (const link of this.#host.linksTo(peer)) link.end(new Error('reset'))
    void this.#host.stop()
  }

  /** Signs a status that offers room, so that it owes blocks. */
  announce(): void {
    const { chance, weight } = this.#init
    const status = this.#self.sign(
      'status',
      {
        instance: chance.bytes(16),
        addresses: ['/memory/hostile'],
        weight,
        state: 'in',
        outAfter: 600_000,
        head: new Uint8Array(8)
      },
      this.#self.nextHlc()
    )
    this.#push([status])
  }

  /** Deletes the entry at a path of a machine, with a causal past as wide as a delete may have. */
  async deleteWidely(machine: Machine, path: string): Promise<boolean> {
    return this.#write(machine, path, SEEN_OF_DELETE_MAX, false)
  }

  /** Replaces the file at a path by one of which no block exists. */
  async linkForeignRoot(machine: Machine, path: string): Promise<boolean> {
    return this.#write(machine, path, this.#init.chance.fraction() < 0.5 ? SEEN_MAX : 8, true)
  }

  /** Asks every member to keep blocks that it then does not send. */
  starve(): void {
    const { chance } = this.#init
    for (const peer of this.#join.admitted) {
      const cids = Array.from({ length: STARVING_BLOCKS }, () => nameBlock(chance.bytes(32)))
      const fields = { put: chance.bytes(16), cids, lengths: cids.map(() => 0), until: 60_000, fetch: true }
      void this.#store.call(peer, fields).catch(() => {})
    }
  }

  async #write(machine: Machine, path: string, seenMax: number, isPut: boolean): Promise<boolean> {
    const { chance } = this.#init
    const tree = machine.stack?.fs.tree as Tree
    const node = await tree.resolve(parsePath(path))
    if (node?.kind !== 'file' || node.body === undefined) return false
    const { heads } = node.row.state
    const past = pastOfAll(heads)
    const hlc = hlcAfter(
      this.#process.now(),
      heads.reduce((most, { stamp }) => (stamp.hlc > most ? stamp.hlc : most), 0n)
    )
    const others: Seen[] = Array.from({ length: Math.max(0, seenMax - past.length) }, () => ({
      author: chance.bytes(32),
      incarnation: chance.bytes(8),
      hlc: hlc - 1n
    }))
    const { id: epoch, record: subkey } = this.#keys.newest as Epoch
    const root = nameBlock(chance.bytes(32), chance.fraction() < 0.5 ? undefined : DAG_CBOR)
    const { parent, name } = node.body
    if (isPut) this.foreignTags.add(tagOfContent({ root: root.bytes }) as string)
    const statement = signRecord(
      {
        entry: node.id,
        incarnation: chance.bytes(8),
        epoch,
        seen: [...past, ...others].slice(0, seenMax),
        op: isPut ? 'put' : 'delete',
        placed: null,
        written: null,
        root: isPut ? root.bytes : null,
        rootEpoch: isPut ? epoch : null,
        replicas: isPut ? 0 : 1,
        body: isPut
          ? { parent, name, kind: 'file', size: 5_000_000, mtime: this.#process.now(), key: chance.bytes(32) }
          : null
      },
      {
        network: this.#self.network,
        key: this.#self.key,
        grant: this.#self.grant.id,
        hlc,
        author: this.#self.publicKey,
        subkey
      }
    )
    this.#push([statement])
    return true
  }

  #push(statements: ReadonlyArray<Pick<Statement, 'bytes'>>): void {
    const lengths = statements.map(({ bytes }) => bytes.byteLength)
    const body = statements.map(({ bytes }) => bytes)
    for (const peer of this.#join.admitted)
      void this.#sync.call(peer, { do: 'push', lengths, puts: lengths.map(() => null) }, { body }).catch(() => {})
  }

  #serve(): void {
    const { chance, serving } = this.#init
    const shared = {
      requestBytesMax: BODY_BYTES_MAX,
      responseBytesMax: BODY_BYTES_MAX,
      clock: this.#process,
      mayAsk: () => true
    }
    serveCalls(this.#host, {
      ...shared,
      protocol: STORE_PROTOCOL,
      // It claims to keep everything and to lack nothing, and guesses each proof.
      answer: async ({ fields: { cids, put }, body }) => {
        if (Array.isArray(cids)) return { status: 'ok', fields: { states: new Uint8Array(cids.length) } }
        if (put !== undefined) return { status: 'ok' }
        return { status: 'ok', fields: { lacking: 0 }, body: [chance.bytes(32 * new Bitmap(body).size)] }
      }
    })
    serveCalls(this.#host, {
      ...shared,
      protocol: GET_PROTOCOL,
      answer: async () => {
        if (serving === 'never') await new Promise(() => {})
        return serving === 'wrong' ? { status: 'ok', body: [chance.bytes(100)] } : { status: 'not-found' }
      }
    })
  }

  #redial(): void {
    const { machines } = this.#init
    const addresses = machines
      .filter(({ isUp, peerId }) => isUp && !this.#host.isConnected(peerId))
      .map(({ address }) => address)
    for (const address of addresses) {
      const signal = new AbortController().signal
      void this.#host.dial([address], { signal }).catch(() => {})
    }
    this.#process.after(REDIAL_MS, () => this.#redial())
  }
}
