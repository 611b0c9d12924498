import { ChangeFeed } from '../../../src/catalog/feed/change-feed.ts'
import { rootNode } from '../../../src/catalog/tree.ts'
import { formatPath, type Path } from '../../../src/format/path.ts'
import { nodesBelow, toItem } from '../../../src/fs/list.ts'
import { type WatchContext, watchPath } from '../../../src/fs/watch.ts'
import type { WatchOptions } from '../../../src/index.ts'
import { toHex } from '../../../src/util/bytes.ts'
import { lineOf, type WatchedTree } from '../../fixtures/watched-tree.ts'
import { names, type Setup } from './setup.ts'

/** What a listing shows at and below a path. */
export async function listed(setup: Setup, path: Path, recursive: boolean): Promise<string[]> {
  const lines: string[] = []
  const found = path.length === 0 ? rootNode() : await setup.tree.resolve(path).catch(() => undefined)
  if (found === undefined) return lines
  const add = (node: Parameters<typeof toItem>[0]): void => {
    const version = node.kind === 'file' ? toHex(node.record.id) : null
    lines.push(`${formatPath(node.path)} ${lineOf({ ...toItem(node), version })}`)
  }
  if (path.length > 0) add(await setup.tree.listed(found))
  if (found.kind === 'directory') for await (const node of nodesBelow(setup, found, { recursive })) add(node)
  return lines.sort()
}

/** Reads all events that there are now, or the first few. */
export async function catchUp(
  setup: Setup,
  tree: WatchedTree,
  { path, options, max = Number.POSITIVE_INFINITY }: { path: Path; options: WatchOptions; max?: number }
): Promise<void> {
  const { index, bodies, log, chance, clock } = setup
  const end = new AbortController()
  // A watch that has read everything waits for the clock.
  const after = (): (() => void) => {
    end.abort()
    return () => {}
  }
  const feed = new ChangeFeed({
    index,
    names,
    bodies,
    log,
    chance,
    depthOf: () => 0,
    clock: { now: () => clock.now(), monotonic: () => 0, sleep: async () => {}, after }
  })
  const members = { member: () => undefined, standing: { assertReads: () => {} } }
  const context: WatchContext = { feed, tree: setup.tree, members }
  const from = tree.cursor === undefined ? { list: true } : { since: tree.cursor }
  let left = max
  try {
    for await (const event of watchPath(context, path, { ...options, ...from, signal: end.signal })) {
      tree.apply(event)
      if (--left === 0) return
    }
  } catch (error) {
    if (!end.signal.aborted) throw error
  }
}
