import { open, rename, rm } from 'node:fs/promises'
import { type DfsNode, inviteFactsIn } from '../index.ts'
import { CliError, messageOf, usage } from '../terminal/errors.ts'
import { readSecretIfThere } from '../terminal/secret-file.ts'
import { readStdin } from '../terminal/stdin.ts'
import { publishFile } from './publish-file.ts'

/** The most bytes of an invite. */
const INVITE_BYTES_MAX = 32 << 10
const INVITE_START = 'dfsinvite1.'
/** How long an invite for compose and other scripts is valid: a year. */
const INVITE_OUT_MS = 365 * 24 * 60 * 60_000

/** Throws a usage error if the invite itself was given in place of the name of its file, so that no error repeats it. */
export function assertNoInvite(file: string): void {
  if (isInvite(file))
    throw usage('--join takes the name of a file that holds the invite, or - for stdin, not the invite itself')
}

/**
 * Reads the token that `--join` names, from a file or from stdin. Returns undefined if there is no such file. Throws a
 * usage error if it holds no invite, and what `assertNoInvite` throws.
 */
export async function readJoin(file: string, signal?: AbortSignal): Promise<string | undefined> {
  assertNoInvite(file)
  if (file === '-' && process.stdin.isTTY === true)
    throw usage('--join - reads an invite from stdin: pipe one in, or name its file')
  const text =
    file === '-' ? await readStdin('an invite', INVITE_BYTES_MAX, signal) : await readIfThere(file, '--join', signal)
  if (text !== undefined && !isInvite(text))
    throw usage('--join: this file holds no invite: copy the file that dfs invite made')
  return text?.trim()
}

/**
 * Writes an invite for any number of writers into a file that only its owner can read, unless the file has one that is
 * still valid and has the current addresses of this machine. An invite that is replaced is revoked. A program that
 * waits for the file never sees it half written. Throws `not-allowed` unless this node is an admin, and a usage error
 * for a file that is no invite, which is not touched.
 */
export async function leaveInvite(node: DfsNode, file: string): Promise<void> {
  if (node.role !== 'admin')
    throw new CliError('not-allowed', `--invite-out is for an admin: this machine is a ${node.role}`)
  const before = await readIfThere(file, '--invite-out')
  if (before !== undefined && !isInvite(before)) throw noInvite()
  const old = before === undefined ? undefined : await openInviteIn(before, node)
  if (old?.isReachable === true) return
  const { token } = await node.invite({ role: 'writer', uses: 'unlimited', expiresMs: INVITE_OUT_MS })
  await writeWhole(file, token, before !== undefined)
  if (old !== undefined) await node.revokeInvite(old.id)
}

/** Throws what `leaveInvite` throws for the file, before anything is started. */
export async function checkInviteOut(file: string, signal: AbortSignal): Promise<void> {
  const before = await readIfThere(file, '--invite-out', signal)
  if (before !== undefined && !isInvite(before)) throw noInvite()
}

/** Returns the invite of this text if it is of the node's network and still counts. */
async function openInviteIn(token: string, node: DfsNode): Promise<{ id: string; isReachable: boolean } | undefined> {
  const facts = inviteFactsIn(token)
  const isOpen = (await node.invites()).some(invite => invite.id === facts?.id && invite.state === 'open')
  if (facts === undefined || !isOpen) return undefined
  // Only addresses that another machine can reach count, unless this machine has none.
  const own = node.multiaddrs.map(address => address.replace(/\/p2p\/[^/]+$/, ''))
  const beyond = own.filter(address => !/^\/(ip4\/127\.|ip6\/::1\/)/.test(address))
  const shared = (beyond.length > 0 ? beyond : own).slice(0, facts.addresses.length)
  return { id: facts.id, isReachable: shared.every(address => facts.addresses.includes(address)) }
}

function noInvite(): CliError {
  return usage('--invite-out: this file holds something else than an invite: name another one')
}

async function writeWhole(file: string, token: string, mayReplace: boolean): Promise<void> {
  const temp = `${file}.${process.pid}.new`
  await rm(temp, { force: true })
  try {
    const handle = await open(temp, 'wx', 0o600)
    try {
      await handle.writeFile(`${token}\n`)
      await handle.sync()
    } finally {
      await handle.close()
    }
    // A file that has appeared meanwhile may belong to somebody else, so it is not replaced.
    if (mayReplace) await rename(temp, file)
    else await publishFile(temp, file)
  } catch (error) {
    throw new CliError('io', `--invite-out: ${messageOf(error)}`, { cause: error })
  } finally {
    await rm(temp, { force: true })
  }
}

function readIfThere(file: string, flag: string, signal?: AbortSignal): Promise<string | undefined> {
  return readSecretIfThere(file, { flag, what: 'an invite', bytesMax: INVITE_BYTES_MAX, signal })
}

function isInvite(text: string): boolean {
  return text.trimStart().startsWith(INVITE_START)
}
