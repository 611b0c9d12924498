import type { FsContext } from './context.ts'
import { pathOfRecord } from './record-paths.ts'
import type { FsckOptions, FsckResult } from './space-types.ts'

/** Checks the blocks here against what the log and the manifests say, and puts right what differs. */
export async function checkBlocks(fs: FsContext, { readData = false, signal }: FsckOptions = {}): Promise<FsckResult> {
  const { blocks, members } = fs
  signal?.throwIfAborted()
  const { lost, isCertain, ...counts } = await blocks.freeing.check(readData, signal)
  const connected = new Set(members.admitted)
  const away = members.view.members.filter(({ peer, weight }) => {
    return weight > 0 && peer !== members.self.peerId && !connected.has(peer)
  })
  const named: FsckResult['lost'] = []
  for (const { cid, records, moreRecords } of lost) {
    const paths = new Set<string>()
    for (const record of records) {
      const path = await pathOfRecord(fs, record)
      if (path !== null) paths.add(path)
    }
    const items = paths.size === 0 ? [null] : [...paths].sort()
    for (const [i, path] of items.entries())
      named.push({ path, cid: cid.toString(), more: i === items.length - 1 ? moreRecords : 0 })
  }
  return { ...counts, lost: named, away: away.map(({ peer }) => peer), certain: isCertain }
}
