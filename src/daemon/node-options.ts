import { basename, dirname, resolve } from 'node:path'
import {
  checkNodeOptions,
  DfsError,
  InvalidInputError,
  inviteFactsIn,
  keyWordsMissing,
  type NodeOptions
} from '../index.ts'
import { CliError, usage } from '../terminal/errors.ts'
import { readPassphrase } from '../terminal/passphrase-file.ts'
import { note } from '../terminal/print.ts'
import { askLines } from '../terminal/prompt.ts'
import { noSecret } from '../terminal/secret-file.ts'
import { readStdin } from '../terminal/stdin.ts'
import { formatBytes, parseCopies, parseSize, parseTime } from '../terminal/units.ts'
import type { DaemonFlags } from './flags.ts'
import { assertNoInvite, checkInviteOut, readJoin } from './invite-files.ts'
import { assertNoKey, makeNetworkKey, networkKeyIn, readNetworkKey } from './key-file.ts'

/** The bytes that 24 words may have, with all the white space of a careless paste. */
const WORDS_BYTES_MAX = 4096

/**
 * Turns the flags into the options of `createNode`. A new network key is drawn last, when nothing else can fail, and
 * only for a directory that belongs to no network. A member must not leave behind a key file that does not belong to
 * its network. Throws the reason of the signal, which ends every wait for a person or a pipe.
 */
export async function nodeOptionsOf(flags: DaemonFlags, isFirst: boolean, signal: AbortSignal): Promise<NodeOptions> {
  const { passphraseFile, capacity, replicas, ack, chunker, outAfter } = flags
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
    capacityBytes: capacity === undefined ? undefined : capacityOf(capacity),
    replicas: replicas === undefined ? undefined : parseCopies('--replicas', replicas),
    ack: ack === undefined ? undefined : parseCopies('--ack', ack),
    chunker,
    outAfterMs: outAfter === undefined ? undefined : parseTime('--out-after', outAfter),
    passphrase: passphraseFile === undefined ? undefined : await readPassphrase(passphraseFile, signal),
    join: await inviteOf(flags, isFirst, signal)
  }
  checkNodeOptions(options)
  return {
    ...options,
    networkKey: flags.recover ? await typedKey(isFirst, signal) : await networkKeyOf(flags, isFirst, signal)
  }
}

/** Whoever gives less has left out the unit: a block of a large file would not fit. */
const CAPACITY_BYTES_MIN = 2 << 20

function capacityOf(text: string): number {
  const bytes = parseSize('--capacity', text)
  if (bytes >= CAPACITY_BYTES_MIN) return bytes
  throw usage(`--capacity: ${formatBytes(bytes)} is too little for a block: write it like 500GB or 64MiB`)
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

/**
 * Reads what a flag names. A member does not need it, so what it cannot use is only said, and the node starts without it.
 * Throws the reason of the signal.
 */
async function ifNeeded<T>(
  subject: string,
  { isFirst, signal }: { isFirst: boolean; signal: AbortSignal },
  read: () => Promise<T | undefined>
): Promise<T | undefined> {
  if (isFirst) return read()
  const { value, why } = await read().then(
    found => ({ value: found, why: 'is missing' }),
    error => {
      signal.throwIfAborted()
      if (!(error instanceof CliError || error instanceof DfsError)) throw error
      return { value: undefined, why: 'cannot be used' }
    }
  )
  if (value === undefined) note(`${subject} ${why}: this directory is a member already, so the node starts without it`)
  return value
}

function inviteOf({ join }: DaemonFlags, isFirst: boolean, signal: AbortSignal): Promise<string | undefined> {
  if (join === undefined) return Promise.resolve(undefined)
  assertNoInvite(join)
  const subject = join === '-' ? 'the invite on stdin' : 'the invite in the file named by --join'
  return ifNeeded(subject, { isFirst, signal }, async () => {
    const token = await readJoin(join, signal)
    if (token === undefined && isFirst)
      throw noSecret({ flag: '--join', what: 'an invite' }, ', which dfs invite makes on another machine')
    // A first start says itself what is wrong with an invite.
    if (token !== undefined && !isFirst && inviteFactsIn(token) === undefined)
      throw new InvalidInputError('the invite was altered or cut')
    return token
  })
}

/** The question for the words that are still to come, since they may be pasted as several lines. */
function moreWords(text: string): string | undefined {
  const missing = keyWordsMissing(text)
  return missing === 0 ? undefined : `${missing} more, or an empty line to stop: `
}

/** Returns the network key that a person types, or that comes through stdin. */
function typedKey(isFirst: boolean, signal: AbortSignal): Promise<Uint8Array | undefined> {
  return ifNeeded('what was given for --recover', { isFirst, signal }, async () => {
    const isTyped = process.stdin.isTTY === true
    const words = isTyped
      ? await askLines('Type the 24 words: ', moreWords, { signal })
      : await readStdin('24 words', WORDS_BYTES_MAX, signal)
    return networkKeyIn(words, '--recover')
  })
}

function networkKeyOf(flags: DaemonFlags, isFirst: boolean, signal: AbortSignal): Promise<Uint8Array | undefined> {
  const file = flags.networkKeyFile
  if (file === undefined) return Promise.resolve(undefined)
  assertNoKey(file)
  return ifNeeded('the key in the file named by --network-key-file', { isFirst, signal }, async () => {
    const key = await readNetworkKey(file, signal)
    if (key !== undefined || !isFirst) return key
    if (!flags.new)
      throw noSecret({ flag: '--network-key-file', what: 'the network key' }, ', or add --new to found a network')
    return makeNetworkKey(file)
  })
}
