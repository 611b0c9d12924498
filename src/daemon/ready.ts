import type { DfsNode } from '../index.ts'
import { printJson } from '../terminal/print.ts'
import { type DaemonFlags, waysInOf } from './flags.ts'
import { type FirstWords, firstWords } from './words.ts'

/** Prints that the daemon is ready, and tells a person what to do next. */
export async function sayReady(node: DfsNode, api: string, flags: DaemonFlags, way: FirstWords['way']): Promise<void> {
  const { json, dataDir } = flags
  const { peerId, network, multiaddrs, name, role } = node
  if (json) {
    printJson({ event: 'ready', peerId, network, multiaddrs, api })
    return
  }
  const { words, holdsKey } = await node.networkInfo()
  const admins = role === 'admin' ? [] : await adminsOf(node)
  const isRemoved = (await node.status()).state === 'removed'
  const isAlone = !node.peers().some(({ connected }) => connected)
  const checkedFlags = way === 'again' ? waysInOf(flags) : []
  const lines = firstWords({
    ...{ name, role, words, way, dataDir, multiaddrs, api, admins, holdsKey },
    ...{ isRemoved, isAlone, checkedFlags }
  })
  process.stdout.write(`${lines.join('\n')}\n`)
}

async function adminsOf(node: DfsNode): Promise<string[]> {
  const members = await node.members()
  return members.filter(({ role, state }) => role === 'admin' && state !== 'pending').map(({ name }) => name)
}
