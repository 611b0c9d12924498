import type { Plant } from '../whole/plants.ts'

const FATE = 'src/catalog/versions/fate.ts'
const BATCH = 'src/catalog/versions/version-batch.ts'
const RETENTION = 'src/catalog/versions/retention.ts'

/** Faults that a history must find. `scripts/plant.ts` plants them with those of whole nodes. */
export const HISTORY_PLANTS: readonly Plant[] = [
  plant(
    'versions: the content that shows is released, if anything is new about it',
    BATCH,
    'if (fate.endedAtMs === null) return this.#releaseWorse(version)',
    'if (fate.endedAtMs === null) return this.#drop(version)'
  ),
  plant(
    'versions: a purge does not heed that it was cancelled',
    FATE,
    'if (cancel === undefined || cancel.arrivedAtMs >= dueAtMs) first = dueAtMs',
    'if (cancel === undefined || cancel.arrivedAtMs > 0) first = dueAtMs'
  ),
  plant(
    'versions: the purge of a writer takes effect at once',
    FATE,
    'const dueAtMs = Number(asBuffer(value).readBigUInt64BE()) + PURGE_WAIT_MS',
    'const dueAtMs = Number(asBuffer(value).readBigUInt64BE()) + PURGE_WAIT_MS / 1_000'
  ),
  plant(
    'versions: their age counts from the stamps, not from the arrival',
    FATE,
    'const endedAtMs = end === undefined ? null : Math.max(arrivedAtMs, end.arrivedAtMs)',
    'const endedAtMs = end === undefined ? null : hlcMs(end.hlc)'
  ),
  plant(
    'versions: they expire also while the clock is wrong',
    RETENTION,
    'const mayExpire = isSteady && this.#options.isClockRight()',
    'const mayExpire = isSteady || this.#options.isClockRight() || true'
  ),
  plant(
    'log: the put of a version that a head carries is forgotten',
    BATCH,
    'for (const holder of holders) if (await this.#isHead(entry, heads, holder)) return',
    ''
  ),
  plant(
    'log: the row of a forgotten statement is taken for damage of the index',
    'src/log/rows.ts',
    'return (await this.areForgotten([id])).includes(true)',
    'return false'
  ),
  plant(
    'catalog: a restored backup goes on with the incarnation that it had',
    'src/catalog/author.ts',
    '    this.#incarnation = newIncarnation(options.chance)',
    '    this.#incarnation = new Uint8Array(8).fill(1)'
  ),
  plant(
    'freeing: a block goes although a put or another file relies on it',
    'src/blocks/repair/freer.ts',
    '    const isClaimed = (): Promise<boolean> => claims.isClaimed(cid.multihash.bytes)',
    '    const isClaimed = async (): Promise<boolean> => claims === undefined'
  ),
  plant(
    'freeing: what a freed manifest node needed is not looked at',
    'src/blocks/repair/freer.ts',
    'if (claimed !== undefined) await nodes.endClaims(cid, claimed)',
    'if (claimed !== undefined) await Promise.resolve()'
  )
]

function plant(name: string, file: string, find: string, replace: string): Plant {
  return { name, edits: [{ file, find, replace }], model: 'history' }
}
