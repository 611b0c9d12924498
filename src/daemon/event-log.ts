import type { Logger } from 'pino'
import type { NodeEvent } from '../index.ts'
import { scoped } from './log.ts'

/**
 * Logs an event of the node. A peer appears as the end of its id. No line contains a file name, an address, a key, or a
 * name that a stranger chose.
 */
export function logEvent(log: Logger, event: NodeEvent): void {
  switch (event.event) {
    case 'admitted':
    case 'departed':
      scoped(log, 'dfs:members').info({ peer: event.peerId.slice(-8) }, event.event)
      break
    case 'rejected':
      scoped(log, 'dfs:members').warn({ peer: event.peerId.slice(-8), reason: event.reason }, event.event)
      break
    case 'foreign':
    case 'fault':
      scoped(log, 'dfs:members').warn({ peer: event.peerId.slice(-8) }, event.event)
      break
    case 'pending':
      scoped(log, 'dfs:members').info({ code: event.code }, 'this machine waits to be let in')
      break
    case 'asking':
      scoped(log, 'dfs:members').info({ code: event.code }, 'a machine asks to be let in')
      break
    case 'removed':
      scoped(log, 'dfs:members').error('this machine is no member any more')
      break
    case 'duplicate':
      scoped(log, 'dfs:members').warn({ peer: event.peerId.slice(-8) }, 'two processes run with one identity')
      break
    case 'differs':
      scoped(log, 'dfs:log').warn(
        { peer: event.peerId.slice(-8) },
        'a member has other statements than this one, although everything has been exchanged; comparing all of them'
      )
      break
    case 'rebuilt':
      scoped(log, 'dfs:disk').warn({ rows: event.rows }, 'the index was rebuilt from the segments')
      break
    case 'damaged':
      scoped(log, 'dfs:disk').error({ rows: event.rows }, 'rows of a segment do not match their checksum')
      break
    case 'bad-block':
      scoped(log, 'dfs:disk').error(event.isDamaged ? 'a block does not match its CID' : 'a block cannot be read')
      break
    case 'disk':
      scoped(log, 'dfs:disk')[DISK_LEVELS[event.state]](DISK_WORDS[event.state])
      break
    case 'failed':
      scoped(log, 'dfs:node').error({ code: event.code, task: event.task }, 'a task failed')
      break
  }
}

const DISK_LEVELS = { ok: 'info', full: 'warn', readonly: 'error', failing: 'error' } as const
const DISK_WORDS = {
  ok: 'the disk has room and accepts writes',
  full: 'this node is full: it stores no more blocks until there is room',
  readonly: 'the data directory cannot be written: nothing is stored until it can',
  failing: 'the disk failed a write: the data on it may be in danger'
} as const
