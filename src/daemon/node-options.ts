import { basename, dirname, resolve } from 'node:path'
import { checkNodeOptions, type NodeOptions } from '../index.ts'
import { usage } from '../terminal/errors.ts'
import { readPassphrase } from '../terminal/passphrase-file.ts'
import { note } from '../terminal/print.ts'
import { parseCopies, parseSize, parseTime } from '../terminal/units.ts'
import type { DaemonFlags } from './flags.ts'
import { makeNetworkKey, readNetworkKey } from './key-file.ts'

/**
 * Turns the flags into the options of `createNode`. A new network key is drawn last, when nothing else can fail, and
 * only for a directory that belongs to no network. A member must not leave behind a key file that does not belong to
 * its network.
 */
export async function nodeOptionsOf(flags: DaemonFlags, isFirst: boolean): Promise<NodeOptions> {
  const { passphraseFile, capacity, replicas, ack, outAfter } = flags
  const options: NodeOptions = {
    dataDir: flags.dataDir,
    ownersFiles: filesInDataDir(flags),
    listen: flags.listen,
    announce: flags.announce,
    bootstrap: flags.bootstrap,
    mdns: flags.mdns,
    found: flags.new,
    name: flags.name,
    capacityBytes: capacity === undefined ? undefined : parseSize(capacity),
    replicas: replicas === undefined ? undefined : parseCopies(replicas),
    ack: ack === undefined ? undefined : parseCopies(ack),
    outAfterMs: outAfter === undefined ? undefined : parseTime(outAfter),
    passphrase: passphraseFile === undefined ? undefined : await readPassphrase(passphraseFile)
  }
  checkNodeOptions(options)
  return { ...options, networkKey: await networkKeyOf(flags, isFirst) }
}

/**
 * Returns the names of the files in the data directory that the flags name. In spite of them, the directory counts as
 * the owner's.
 */
export function filesInDataDir({ dataDir, networkKeyFile, passphraseFile }: DaemonFlags): string[] {
  return [networkKeyFile, passphraseFile]
    .filter(file => file !== undefined)
    .map(file => resolve(file))
    .filter(file => dirname(file) === dataDir)
    .map(file => basename(file))
}

async function networkKeyOf(flags: DaemonFlags, isFirst: boolean): Promise<Uint8Array | undefined> {
  const file = flags.networkKeyFile
  if (file === undefined) return undefined
  const key = await readNetworkKey(file)
  if (key !== undefined) return key
  if (!flags.new)
    throw usage(
      'the file named by --network-key-file does not exist: name one that does, or add --new to found a network'
    )
  if (isFirst) return makeNetworkKey(file)
  note(
    'the file named by --network-key-file is missing: this directory is a member already, so the node starts without it'
  )
  return undefined
}
