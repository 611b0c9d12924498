import type { Kind } from '../format/kinds.ts'
import type { AnyStatement } from '../format/statement.ts'
import { MEMBERSHIP } from '../log/keys.ts'
import type { Log } from '../log/log.ts'
import type { AcceptedStatement, LoggedStatement, Projection } from '../log/projection.ts'
import type { LocalMember } from './local-member.ts'
import type { Outs } from './outs.ts'
import type { Roster } from './roster.ts'
import type { Settings } from './settings.ts'
import type { Statuses } from './statuses.ts'

export interface MembershipParts {
  log: Log
  roster: Roster
  settings: Settings
  outs: Outs
  statuses: Statuses
  self: LocalMember
  /** Other projections of membership statements that are kept in memory. They are loaded last. */
  alsoLoad?: readonly Loaded[]
}

/** A projection that is kept in memory, and loaded from the log at start. */
export interface Loaded extends Pick<Projection, 'kinds'> {
  load(items: readonly AcceptedStatement[]): void
}

/**
 * Loads what the log holds about membership into memory, and adds to the log the statements of our keystore that it
 * lacks. Call it once, before anything is received.
 */
export async function loadMembership(parts: MembershipParts): Promise<void> {
  const { log, roster, settings, outs, statuses, self, alsoLoad = [] } = parts
  const known: LoggedStatement[] = []
  for await (const item of log.all(MEMBERSHIP)) known.push(item)
  const ofKind = (kind: string): AcceptedStatement[] =>
    known.filter(({ statement }) => statement.kind === kind) as AcceptedStatement[]
  roster.load(known.map(({ statement }) => statement))
  settings.load(ofKind('settings'))
  outs.load(ofKind('out'))
  // After a power cut the index may hold an older status as well as the newer one.
  await log.remove(statuses.load(ofKind('status')))
  for (const other of alsoLoad)
    other.load(known.filter(({ statement }) => other.kinds.has(statement.kind as Kind)) as AcceptedStatement[])
  for (const statement of self.statements) {
    const [isKnown] = await log.has([statement.id])
    const authorized = roster.authorize(statement as AnyStatement)
    if (isKnown !== true && 'author' in authorized) await log.append([statement], authorized)
  }
}
