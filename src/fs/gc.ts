import type { FsContext } from './context.ts'
import type { GcOptions, GcResult, GcStay } from './space-types.ts'

type Rooms = Pick<FsContext, 'blocks' | 'members'>

/** Frees now what this node would free in time, or says with `dryRun` what that is. Says why the rest stays. */
export async function collectGarbage(fs: Rooms, { dryRun = false, signal }: GcOptions = {}): Promise<GcResult> {
  signal?.throwIfAborted()
  const { freeing } = fs.blocks
  const plan = dryRun ? await freeing.plan(signal) : null
  const freed = plan === null ? await freeing.run(signal) : null
  const sums = freed === null ? Object.values(plan ?? {}) : [freed]
  const stays = freed?.stays ?? (await freeing.stays(signal))
  return {
    blocks: sums.reduce((sum, { blocks }) => sum + blocks, 0),
    bytes: sums.reduce((sum, { bytes }) => sum + bytes, 0),
    dryRun,
    plan: plan === null ? null : { ...plan },
    stays: stays.map(stay => shownStay(stay, fs)),
    certain: freeing.isCertain,
    unreadable: freeing.unreadableNodes
  }
}

type Stay = Awaited<ReturnType<Rooms['blocks']['freeing']['run']>>['stays'][number]

function shownStay(stay: Stay, { members }: Rooms): GcStay {
  const author = 'author' in stay ? (members.member(stay.author)?.name ?? stay.author) : null
  return {
    reason: stay.reason,
    until: 'untilAtMs' in stay ? new Date(stay.untilAtMs) : null,
    author,
    amount: 'blocks' in stay && stay.blocks > 0 ? { blocks: stay.blocks, bytes: stay.bytes } : null
  }
}
