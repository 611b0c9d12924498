import type { AnswerOf } from '../../contract/verbs.ts'
import { CliError } from '../../terminal/errors.ts'
import { printJson, printLine } from '../../terminal/print.ts'
import { tableLines } from '../../terminal/table.ts'
import { parseCopies, parseSize, parseTime, sizeText, timeText } from '../../terminal/units.ts'
import { type DfsCommand, nonEmpty } from '../command.ts'
import type { Session } from '../session.ts'
import { localTime } from '../times.ts'

type Item = AnswerOf<'settings'>[number]

const HELP = `
The settings hold for all members. Only an admin may change them.
  replicas         copies of each file: a number, or all. A node that is started
                   with --replicas uses its own number
  ack              copies that a put waits for: a number, or all. A node that is
                   started with --ack uses its own number
  outAfter         how long a member may be away before the others make its
                   copies: a time such as 10m or 24h
  versionDays      days for which a version is kept after it was replaced or
                   removed: 0 to 36500
  quotaStatements  the most changes of files that one member may sign. A machine
                   that was taken over cannot fill the disks of all others
  quotaBytes       the bytes that these may take in all: a size such as 16GiB`

export const config: DfsCommand = {
  name: 'config',
  summary: 'show or change the settings of the network',
  exits: ['notFound'],
  examples: [
    ['dfs config', 'show all settings'],
    ['dfs config versionDays 90', 'keep what was overwritten or removed for 90 days']
  ],
  declare(command) {
    command
      .argument('[key]', 'setting to show', nonEmpty)
      .argument('[value]', 'its new value', nonEmpty)
      .addHelpText('after', HELP)
  },
  async run({ client, isJson }: Session, key: string | undefined, text: string | undefined) {
    if (key !== undefined && text !== undefined) {
      const item = await client.call('setSetting', { key, value: parseValue(key, text) })
      if (isJson) printJson(item)
      else printLine(`${item.key} is ${valueText(item)} now`)
      return
    }
    const items = await client.call('settings', {})
    if (key !== undefined) {
      const item = items.find(item => item.key === key)
      if (item === undefined)
        throw new CliError(
          'not-found',
          `there is no such setting: the settings are ${items.map(({ key }) => key).join(', ')}`,
          {
            about: key
          }
        )
      if (isJson) printJson(item)
      else printLine(valueText(item))
    } else if (isJson) printJson(Object.fromEntries(items.map(({ key, ...rest }) => [key, rest])))
    else for (const line of tableLines(items.map(rowOf))) printLine(line)
  }
}

function parseValue(key: string, text: string): number | 'all' {
  if (key === 'replicas' || key === 'ack') return parseCopies(key, text)
  if (key === 'outAfter') return parseTime(key, text)
  if (key === 'quotaBytes') return parseSize(key, text)
  return text === 'all' ? 'all' : Number(text)
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
