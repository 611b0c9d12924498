import type { AnswerOf } from '../../contract/verbs.ts'
import { shortId } from '../../terminal/member-text.ts'
import { note, printJson, printLine } from '../../terminal/print.ts'
import { tableLines } from '../../terminal/table.ts'
import { formatCount } from '../../terminal/units.ts'
import type { DfsCommand } from '../command.ts'
import type { Session } from '../session.ts'
import { agoText } from '../times.ts'

type Item = AnswerOf<'peers'>[number]

/** A member that was not seen for this long is shown with `--all` only, such as one of a machine that was tried once. */
const AWAY_MS = 60 * 60_000

export const peers: DfsCommand = {
  name: 'peers',
  summary: 'show the other members and their connections',
  exits: [],
  declare(command) {
    command.option('--all', 'also those that were not seen for an hour', false)
  },
  async run({ client, isJson }: Session, { all: isAll }: { all: boolean }) {
    const nowMs = Date.now()
    const known = await client.call('peers', {})
    const shown = isAll ? known : known.filter(item => !isAway(item, nowMs))
    if (isJson) {
      printJson(shown)
      return
    }
    if (shown.length > 0) for (const line of peerLines(shown, nowMs)) printLine(line)
    const hidden = known.length - shown.length
    if (hidden > 0)
      note(`${formatCount(hidden, 'member was', 'members were')} not seen for an hour: dfs peers --all shows them`)
  }
}

function isAway({ connected, lastSeen }: Item, nowMs: number): boolean {
  return !connected && (lastSeen === null || nowMs - Date.parse(lastSeen) >= AWAY_MS)
}

/** Returns the table of the other members. */
function peerLines(all: readonly Item[], nowMs: number): string[] {
  return tableLines([
    ['NAME', 'ROLE', 'STATE', 'LAST SEEN', 'CONNECTED BY', 'LATENCY', 'PEER'],
    ...all.map(({ peerId, name, role, state, connected, lastSeen, latencyMs, via }) => [
      name,
      role,
      state,
      connected ? 'now' : lastSeen === null ? 'never' : agoText(lastSeen, nowMs),
      via ?? '-',
      latencyMs === null ? '-' : `${Math.round(latencyMs)} ms`,
      shortId(peerId)
    ])
  ])
}
