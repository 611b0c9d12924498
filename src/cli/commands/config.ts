import { VERSION_DAYS } from '../../contract/constants.ts'
import type { AnswerOf } from '../../contract/verbs.ts'
import { CliError, usage } from '../../terminal/errors.ts'
import { printJson, printLine } from '../../terminal/print.ts'
import { ask, isInteractive } from '../../terminal/prompt.ts'
import { tableLines } from '../../terminal/table.ts'
import { formatCount, parseCopies, parseSize, parseTime, sizeText, timeText } from '../../terminal/units.ts'
import { type DfsCommand, nonEmpty } from '../command.ts'
import type { Session } from '../session.ts'
import { localTime } from '../times.ts'

type Item = AnswerOf<'settings'>[number]
type Value = number | 'all' | 'fixed' | 'fastcdc' | 'default'

interface Flags {
  yes: boolean
}

const HELP = `
The settings hold for all members. Only an admin may change them. The value
"default" takes a setting back.
  replicas         copies of each file: a number, or all. A node that is started
                   with --replicas uses its own number
  ack              copies that a put waits for: a number, or all. A node that is
                   started with --ack uses its own number
  chunker          how files are cut into blocks: fixed or fastcdc. With fastcdc
                   a large file that changes in the middle is not sent again as
                   a whole. But the lengths of its blocks then say something
                   about its content, to members that store it without being
                   able to read it, and to everybody who watches the network.
                   Files that are stored already stay as they are. A node that
                   is started with --chunker uses its own
  outAfter         how long a member may be away before the others make its
                   copies: a time such as 10m or 24h
  versionDays      days for which a version is kept after it was replaced or
                   removed: 0 to 36500. Fewer days end older versions at once,
                   for good and on all members: more days later do not bring
                   them back. So you are asked first, or give --yes
  quotaStatements  the most changes of files that one member may sign. A machine
                   that was taken over cannot fill the disks of all others
  quotaBytes       the bytes that these may take in all: a size such as 16GiB`

export const config: DfsCommand = {
  name: 'config',
  summary: 'show or change the settings of the network',
  exits: [],
  examples: [
    ['dfs config', 'show all settings'],
    ['dfs config ack default', 'take the setting back'],
    ['dfs config chunker fastcdc', 'send less of large files that change in the middle'],
    ['dfs config versionDays 90', 'keep what was overwritten or removed for 90 days']
  ],
  declare(command) {
    command
      .argument('[key]', 'setting to show', nonEmpty)
      .argument('[value]', 'its new value', nonEmpty)
      .option('--yes', 'lower versionDays without a question', false)
      .addHelpText('after', HELP)
  },
  async run(session: Session, key: string | undefined, text: string | undefined, { yes }: Flags) {
    const { client, isJson } = session
    const items = await client.call('settings', {})
    if (key === undefined) {
      if (isJson) printJson(Object.fromEntries(items.map(({ key, ...rest }) => [key, rest])))
      else for (const line of tableLines(items.map(rowOf))) printLine(line)
      return
    }
    const item = items.find(item => item.key === key)
    if (item === undefined) {
      const keys = items.map(({ key }) => key).join(', ')
      throw new CliError('usage', `there is no such setting: the settings are ${keys}`, { about: key })
    }
    if (text === undefined) {
      if (isJson) printJson(item)
      else printLine(valueText(item))
      return
    }
    const value = parseValue(key, text)
    if (!yes) await confirmLoss(session, item, value)
    const changed = await client.call('setSetting', { key, value })
    if (isJson) printJson(changed)
    else printLine(`${key} is ${valueText(changed)} now`)
  }
}

/** Asks before versions end that nothing brings back. Throws a `CliError` if the answer is not yes. */
async function confirmLoss(session: Session, { key, value: before }: Item, value: Value): Promise<void> {
  const days = value === 'default' ? VERSION_DAYS : Number(value)
  if (key !== 'versionDays' || typeof before !== 'number' || days >= before) return
  // Anyone else is refused by the node, and should not be asked first.
  if ((await session.client.call('networkInfo', {})).role !== 'admin') return
  const ended =
    days === 0
      ? 'this ends every version that was replaced or removed'
      : `this ends every version that was replaced or removed more than ${formatCount(days, 'day')} ago`
  const words = `${ended}, for good and on all members`
  if (session.isJson || !isInteractive()) throw usage(`${words}: give --yes if you want that`)
  const answer = await ask(`${words}. Type "yes": `, session)
  if (answer.trim().toLowerCase() !== 'yes')
    throw new CliError('failed', `nothing was changed: ${key} is still ${before}`)
}

function parseValue(key: string, text: string): Value {
  if (text === 'default') return 'default'
  if (key === 'replicas' || key === 'ack') return parseCopies(key, text)
  if (key === 'chunker') {
    if (text === 'fixed' || text === 'fastcdc') return text
    throw usage(`chunker: "${text}" is not a chunker: give fixed or fastcdc`)
  }
  if (key === 'outAfter') return parseTime(key, text)
  if (key === 'quotaBytes') return parseSize(key, text)
  if (!/^\d{1,15}$/.test(text)) {
    const what = key === 'versionDays' ? 'days' : 'changes'
    throw usage(`${key}: "${text}" is not a number of ${what}: give a whole number, such as 90`)
  }
  return Number(text)
}

function rowOf(item: Item): string[] {
  const { key, setBy, setAt } = item
  const by = setBy === null || setAt === null ? 'default' : `set by ${setBy.name}, ${localTime(setAt)}`
  return [key, valueText(item), by]
}

/** Returns a value as it can be given to this command. */
function valueText({ key, value }: Pick<Item, 'key' | 'value'>): string {
  if (value === null) return '2 if possible'
  if (key === 'quotaBytes') return sizeText(value as number)
  return key === 'outAfter' ? timeText(value as number) : String(value)
}
