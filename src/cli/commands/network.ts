import { CliError, usage } from '../../terminal/errors.ts'
import { readPassphrase } from '../../terminal/passphrase-file.ts'
import { note, printJson, printLine } from '../../terminal/print.ts'
import { ask, isInteractive } from '../../terminal/prompt.ts'
import { tableLines } from '../../terminal/table.ts'
import { formatCount } from '../../terminal/units.ts'
import { readApiFile } from '../api-file.ts'
import { Client } from '../client.ts'
import type { DfsCommand } from '../command.ts'
import { kindOf } from '../local-file.ts'
import type { Call, Session } from '../session.ts'
import { NoAnswerError } from '../transport.ts'

const WORDS_PER_LINE = 4
/** What a person types, so that the key is not removed by a key press. */
const CONFIRMATION = 'forget'

interface Flags {
  forget: boolean
  passphraseFile?: string
}

/** A data directory on this machine, and what opens its keystore. */
interface Directory {
  dataDir: string
  passphrase: string | undefined
}

const recovery: DfsCommand = {
  name: 'recovery',
  summary: 'show the 24 words that bring the network back, on its founder',
  exits: ['notFound'],
  declare(command) {
    command
      .option('--forget', 'then remove the network key from this machine', false)
      .option(
        '--passphrase-file <file>',
        'passphrase that seals the keystore',
        process.env['DFS_PASSPHRASE_FILE'] || undefined
      )
  },
  async runLocally(call: Call, { forget, passphraseFile }: Flags) {
    const { dataDir, api } = call.where
    if (call.isJson) throw usage('the words are for a person: leave out --json')
    if (dataDir === undefined || api !== undefined)
      throw usage('the words are read from the disk of this machine: give --data-dir, not --api')
    const passphrase = passphraseFile === undefined ? undefined : await readPassphrase(passphraseFile, call.signal)
    const directory = { dataDir, passphrase }
    // The only import of the node in `dfs`: the words must not travel through the API.
    const { readRecoveryWords } = await import('../../index.ts')
    const words = await readRecoveryWords(directory)
    if (words === undefined)
      throw new CliError(
        'not-found',
        'this machine does not hold the network key: only the founder does, until it forgets it'
      )
    // Only now, because a script on a machine without the key should be told that first.
    if (!isInteractive()) throw new CliError('not-allowed', 'the words are shown on a terminal only')
    for (const line of wordLines(words)) printLine(line)
    if (forget) await forgetKey(call, directory)
  }
}

export const network: DfsCommand = {
  name: 'network',
  summary: 'show the words of the network; recovery of its key',
  exits: [],
  below: [recovery],
  unbuiltBelow: ['rekey'],
  async run({ client, isJson }: Session) {
    const info = await client.call('networkInfo', {})
    if (isJson) {
      printJson(info)
      return
    }
    printLine(info.words)
    printLine(`  ${info.network}`)
    printLine(`  ${formatCount(info.members, 'member')}`)
    if (info.holdsKey) printLine('  this machine holds the network key')
  }
}

/** Returns the words with their numbers, in aligned columns. */
function wordLines(words: string): string[] {
  const numbered = words.split(' ').map((word, i) => `${String(i + 1).padStart(2)} ${word}`)
  const rows: string[][] = []
  while (numbered.length > 0) rows.push(numbered.splice(0, WORDS_PER_LINE))
  return tableLines(rows)
}

async function forgetKey(call: Call, directory: Directory): Promise<void> {
  const answer = await ask(`Type "${CONFIRMATION}" once the words are written down: `, call)
  if (answer.trim().toLowerCase() !== CONFIRMATION)
    throw new CliError('failed', 'nothing was changed: this machine still holds the network key')
  const keyFile = await keyFileOf(directory.dataDir)
  await removeKey(call, directory)
  printLine('this machine holds the network key no longer: only the words bring it back (dfs-node --recover)')
  if (keyFile === undefined)
    note('if you started the founder with --network-key-file, that file still holds the key: remove it by hand')
  else if ((await kindOf(keyFile, 'follow')) !== undefined)
    note(`${keyFile}: this file still holds the network key: remove it by hand, and start the node without it`)
}

/** Returns the file that holds the key for the next start, if the running node or the environment names one. */
async function keyFileOf(dataDir: string): Promise<string | undefined> {
  const running = await readApiFile(dataDir).catch(() => undefined)
  return running?.keyFile ?? (process.env['DFS_NETWORK_KEY_FILE'] || undefined)
}

/**
 * Removes the key. A running node removes it itself, because it would write its keystore again later, with the key. If
 * no node runs, this process changes the keystore under the lock of the directory.
 */
async function removeKey({ where, signal }: Call, directory: Directory): Promise<void> {
  try {
    const client = await Client.open(where, signal)
    try {
      await client.call('forgetNetworkKey', {})
    } finally {
      client.close()
    }
  } catch (error) {
    if (!(error instanceof NoAnswerError)) throw error
    const { forgetNetworkKey } = await import('../../index.ts')
    await forgetNetworkKey(directory)
  }
}
