import { basename, dirname, resolve } from 'node:path'
import { checkNodeOptions, inviteFactsIn, type NodeOptions, parseNetworkKey } from '../index.ts'
import { readPassphrase } from '../terminal/passphrase-file.ts'
import { note } from '../terminal/print.ts'
import { ask } from '../terminal/prompt.ts'
import { noSecret } from '../terminal/secret-file.ts'
import { readStdin } from '../terminal/stdin.ts'
import { parseCopies, parseSize, parseTime } from '../terminal/units.ts'
import type { DaemonFlags } from './flags.ts'
import { checkInviteOut, readJoin } from './invite-files.ts'
import { makeNetworkKey, readNetworkKey } from './key-file.ts'

/** The bytes that 24 words may have, with all the white space of a careless paste. */
const WORDS_BYTES_MAX = 4096

/**
 * Turns the flags into the options of `createNode`. A new network key is drawn last, when nothing else can fail, and
 * only for a directory that belongs to no network. A member must not leave behind a key file that does not belong to
 * its network. Throws the reason of the signal, which ends every wait for a person or a pipe.
 */
export async function nodeOptionsOf(flags: DaemonFlags, isFirst: boolean, signal: AbortSignal): Promise<NodeOptions> {
  const { passphraseFile, capacity, replicas, ack, outAfter } = flags
  if (flags.inviteOut !== undefined) await checkInviteOut(flags.inviteOut, signal)
  const options: NodeOptions = {
    dataDir: flags.dataDir,
    ownersFiles: filesInDataDir(flags),
    listen: flags.listen,
    announce: flags.announce,
    bootstrap: flags.bootstrap,
    mdns: flags.mdns,
    found: flags.new,
    role: flags.role,
    name: flags.name,
    capacityBytes: capacity === undefined ? undefined : parseSize('--capacity', capacity),
    replicas: replicas === undefined ? undefined : parseCopies('--replicas', replicas),
    ack: ack === undefined ? undefined : parseCopies('--ack', ack),
    outAfterMs: outAfter === undefined ? undefined : parseTime('--out-after', outAfter),
    passphrase: passphraseFile === undefined ? undefined : await readPassphrase(passphraseFile, signal),
    join: await inviteOf(flags, isFirst, signal)
  }
  checkNodeOptions(options)
  return { ...options, networkKey: flags.recover ? await typedKey(signal) : await networkKeyOf(flags, isFirst, signal) }
}

/**
 * Returns the names of the files in the data directory that the flags name. A directory that holds only these may still
 * be used for a first start.
 */
export function filesInDataDir({ dataDir, networkKeyFile, passphraseFile, join, inviteOut }: DaemonFlags): string[] {
  return [networkKeyFile, passphraseFile, join === '-' ? undefined : join, inviteOut]
    .filter(file => file !== undefined)
    .map(file => resolve(file))
    .filter(file => dirname(file) === dataDir)
    .map(file => basename(file))
}

async function inviteOf({ join }: DaemonFlags, isFirst: boolean, signal: AbortSignal): Promise<string | undefined> {
  if (join === undefined) return undefined
  const token = await readJoin(join, signal)
  if (token !== undefined && (isFirst || inviteFactsIn(token) !== undefined)) return token
  if (isFirst) throw noSecret({ flag: '--join', what: 'an invite' }, ', which dfs invite makes on another machine')
  const what = token === undefined ? 'is missing' : 'holds an invite that was altered or cut'
  note(`the file named by --join ${what}: this directory is a member already, so the node starts without it`)
  return undefined
}

/** Returns the network key that a person types, or that comes through stdin. */
async function typedKey(signal: AbortSignal): Promise<Uint8Array> {
  const isTyped = process.stdin.isTTY === true
  return parseNetworkKey(
    isTyped ? await ask('Type the 24 words: ', { signal }) : await readStdin('24 words', WORDS_BYTES_MAX, signal)
  )
}

async function networkKeyOf(
  flags: DaemonFlags,
  isFirst: boolean,
  signal: AbortSignal
): Promise<Uint8Array | undefined> {
  const file = flags.networkKeyFile
  if (file === undefined) return undefined
  const key = await readNetworkKey(file, signal)
  if (key !== undefined) return key
  if (!flags.new)
    throw noSecret({ flag: '--network-key-file', what: 'the network key' }, ', or add --new to found a network')
  if (isFirst) return makeNetworkKey(file)
  note(
    'the file named by --network-key-file is missing: this directory is a member already, so the node starts without it'
  )
  return undefined
}
