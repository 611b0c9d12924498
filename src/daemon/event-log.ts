import { type NodeEvent, type RejectionReason, roughDuration } from '../index.ts'
import { memberText, peerEnd, shortId } from '../terminal/member-text.ts'
import { type DaemonLog, scoped } from './log.ts'

/** How long the same line is not repeated on a terminal. A member that is refused dials again and again. */
const REPEAT_MS = 10 * 60_000

/** How one event is logged. */
interface EventLine {
  level: 'info' | 'warn' | 'error'
  scope: string
  /** The message of the JSON line, and its other fields. */
  message: string
  fields?: Record<string, string | number>
  /** The line on a terminal. Undefined if the screen says it in another way. */
  words?: string | undefined
}

/**
 * Logs the events of the node: as JSON lines, or as sentences on a terminal. In JSON, a peer appears as the end of its
 * id. No line contains a file name, an address or a key. Only a terminal shows the names of members, and they are
 * escaped. Names that strangers chose are not logged at all.
 */
export class EventLog {
  readonly #log: DaemonLog
  /** The members that are connected. */
  readonly #connected = new Set<string>()
  /** When each line was last shown on the terminal; monotonic time. There are few lines, each with few members. */
  readonly #saidAtMs = new Map<string, number>()

  constructor(log: DaemonLog) {
    this.#log = log
  }

  /** `isOnScreen`: the owner was told of the event in another way. */
  onEvent(event: NodeEvent, { isOnScreen = false }: { isOnScreen?: boolean } = {}): void {
    if (event.event === 'admitted') this.#connected.add(event.peerId)
    if (event.event === 'departed') this.#connected.delete(event.peerId)
    const { log, isForPeople } = this.#log
    const { level, scope, message, fields = {}, words } = lineOf(event, this.#connected.size === 0)
    if (!isForPeople) scoped(log, scope)[level](fields, message)
    else if (words !== undefined && !isOnScreen && !(level !== 'info' && this.#wasSaid(words)))
      scoped(log, scope)[level](words)
  }

  #wasSaid(words: string): boolean {
    const nowMs = performance.now()
    for (const [said, atMs] of this.#saidAtMs) if (nowMs - atMs >= REPEAT_MS) this.#saidAtMs.delete(said)
    if (this.#saidAtMs.has(words)) return true
    this.#saidAtMs.set(words, nowMs)
    return false
  }
}

function lineOf(event: NodeEvent, isAlone: boolean): EventLine {
  switch (event.event) {
    case 'admitted':
    case 'departed': {
      const what = event.event === 'admitted' ? 'joined' : 'went away'
      return ofPeer(event, 'info', `${event.name ?? 'a member'} ${what} (${shortId(event.peerId)})`)
    }
    case 'foreign':
      // The advice to the person is printed apart from the log.
      return ofPeer(event, 'warn', undefined)
    case 'rejected': {
      const clocks = event.aheadMs === null ? '' : `: its clock is ${difference(event.aheadMs)} this machine's`
      return {
        ...ofPeer(event, 'warn', `${memberText(named(event))} ${REJECTED[event.reason]}${clocks}`),
        fields: { peer: peerEnd(event.peerId), reason: event.reason }
      }
    }
    case 'clock': {
      const by = difference(event.aheadMs)
      return {
        ...ofPeer(
          event,
          'warn',
          `the clock of ${memberText(named(event))} is ${by} this machine's: set the one that is wrong`
        ),
        message: 'the clock of a member differs from that of this machine',
        fields: { peer: peerEnd(event.peerId), aheadMs: event.aheadMs }
      }
    }
    case 'fault':
      return ofPeer(event, 'warn', `a node (${shortId(event.peerId)}) broke the protocol`)
    case 'unreachable':
      // The address may be one that must not be in a log.
      return {
        level: 'warn',
        scope: 'dfs:members',
        message: 'nobody answers at a bootstrap address',
        fields: { reason: event.reason },
        words: `nobody answered at ${event.address} (${event.reason}): ${isAlone ? 'running alone, ' : ''}still trying`
      }
    case 'seeking':
      return {
        level: 'info',
        scope: 'dfs:members',
        message:
          event.addresses.length > 0 ? 'this machine asks to be let in' : 'this machine looks for networks nearby'
      }
    case 'pending':
      return {
        level: 'info',
        scope: 'dfs:members',
        message: 'this machine waits to be let in',
        fields: { code: event.code }
      }
    case 'asking':
      return {
        level: 'info',
        scope: 'dfs:members',
        message: 'a machine asks to be let in',
        fields: { code: event.code }
      }
    case 'turned-away':
      // The screen shows it with its address, which must not be in a log.
      return ofPeer(event, 'info', undefined)
    case 'removed':
      return { level: 'error', scope: 'dfs:members', message: 'this machine is no longer a member' }
    case 'duplicate': {
      const who = event.isSelf ? "this machine's identity" : `the identity of ${memberText(named(event))}`
      return {
        ...ofPeer(event, 'warn', `another node runs with ${who}: was the data directory copied? Stop one of them`),
        message: 'two processes run with one identity'
      }
    }
    case 'differs': {
      const message =
        'a member has other statements than this one, although everything has been exchanged; comparing all of them'
      return { ...ofPeer(event, 'warn', message), scope: 'dfs:log', message }
    }
    case 'rebuilt':
      return ofDisk('warn', 'the index was rebuilt from the segments', { rows: event.rows })
    case 'damaged':
      return ofDisk('error', 'rows of a segment do not match their checksum', { rows: event.rows })
    case 'bad-block':
      return ofDisk('error', event.isDamaged ? 'a block does not match its CID' : 'a block cannot be read')
    case 'disk':
      return ofDisk(DISK_LEVELS[event.state], DISK_WORDS[event.state])
    case 'failed':
      return {
        level: 'error',
        scope: 'dfs:node',
        message: 'a task failed',
        fields: { code: event.code, task: event.task },
        words: `the task "${event.task}" failed (${event.code}), and will be repeated`
      }
  }
}

/** A peer that is no member has no name here. */
function named({ name, peerId }: { name: string | null; peerId: string }): { name: string; peerId: string } {
  return { name: name ?? 'a node', peerId }
}

function difference(aheadMs: number): string {
  return `${roughDuration(Math.abs(aheadMs))} ${aheadMs < 0 ? 'behind' : 'ahead of'}`
}

function ofPeer(
  { event, peerId }: { event: string; peerId: string },
  level: EventLine['level'],
  words: string | undefined
): EventLine {
  return { level, scope: 'dfs:members', message: event, fields: { peer: peerEnd(peerId) }, words }
}

function ofDisk(level: EventLine['level'], message: string, fields: Record<string, number> = {}): EventLine {
  return { level, scope: 'dfs:disk', message, fields, words: message }
}

const REJECTED: Record<RejectionReason, string> = {
  'clock-off': 'and this node refuse each other until the wrong clock is set',
  duplicate: 'refuses this node, because another node runs with its identity: was the data directory copied?',
  refused: 'and this node could not prove to each other that they are members',
  unreachable: 'ended the connection before it had proved that it is a member'
}

const DISK_LEVELS = { ok: 'info', full: 'warn', readonly: 'error', failing: 'error' } as const
const DISK_WORDS = {
  ok: 'the disk has room and accepts writes',
  full: 'this node is full: it stores no more blocks until there is room',
  readonly: 'the data directory cannot be written: nothing is stored until it can',
  failing: 'the disk failed a write: the data on it may be in danger'
} as const
