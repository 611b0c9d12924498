import { stateOf } from '../members/view.ts'
import { fromHex } from '../util/bytes.ts'
import type { FsContext } from './context.ts'
import { isCurrent } from './record-paths.ts'
import type { MemberSpace, SpaceHere, SpaceReport } from './space-types.ts'
import type { AbortOptions } from './types.ts'

/** Says how full the members are, and what takes up the space of this one. It looks at some rows for each block here. */
export async function spaceOf(fs: FsContext, { signal }: AbortOptions = {}): Promise<SpaceReport> {
  signal?.throwIfAborted()
  return { members: membersOf(fs), here: await spaceHere(fs, signal) }
}

function membersOf({ members, disk }: Pick<FsContext, 'members' | 'disk'>): MemberSpace[] {
  const { used, capacity } = disk()
  return members.view.members
    .map((member): MemberSpace => {
      const { peer, weight } = member
      const self = peer === members.self.peerId
      return {
        peerId: peer,
        name: members.member(peer)?.name ?? peer,
        self,
        state: stateOf(member),
        capacity: self && weight > 0 ? capacity : weight,
        used: self ? used : null
      }
    })
    .sort((a, b) => Number(b.self) - Number(a.self) || (a.name < b.name ? -1 : 1))
}

async function spaceHere(fs: FsContext, signal: AbortSignal | undefined): Promise<SpaceHere> {
  const here = { live: 0, versions: 0, surplus: 0, puts: 0, cutOff: 0, cache: 0 }
  // Remember one answer for each record, however many chunks its file has.
  const current = new Map<string, boolean>()
  const isLive = async (records: readonly string[]): Promise<boolean> => {
    for (const id of records) {
      const known = current.get(id) ?? (await isCurrent(fs, fromHex(id)))
      current.set(id, known)
      if (known) return true
    }
    return false
  }
  for await (const { bytes, records, isInPut, isCutOff, isOwed } of fs.blocks.freeing.inventory(signal)) {
    if (records.length === 0) here[isCutOff ? 'cutOff' : isInPut ? 'puts' : 'cache'] += bytes
    else if (!isOwed) here.surplus += bytes
    else here[(await isLive(records)) ? 'live' : 'versions'] += bytes
  }
  const { used, free } = fs.disk()
  const blocks = here.live + here.versions + here.surplus + here.puts + here.cutOff + here.cache
  const { overAtMs } = await fs.blocks.freeing.putsUntil(signal)
  const cutOffUntil = here.cutOff === 0 || overAtMs === null ? null : new Date(overAtMs)
  return { ...here, cutOffUntil, catalog: Math.max(0, used - blocks), free }
}
