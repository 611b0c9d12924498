import pino, { type Logger } from 'pino'
import type { NodeEvent } from '../index.ts'
import type { DaemonFlags } from './daemon-flags.ts'

/** The daemon's log: JSON lines on stderr, written before the call returns, so that a crash loses none. */
export function openLog(level: DaemonFlags['logLevel']): Logger {
  return pino({ level, base: null }, pino.destination({ dest: 2, sync: true }))
}

/** Members come and go at `info` under the end of their id; nothing here names a file, an address or a key. */
export function logEvent(log: Logger, event: NodeEvent): void {
  const scoped = (scope: string): Logger => log.child({ scope: `dfs:${scope}` })
  switch (event.event) {
    case 'admitted':
    case 'departed':
      scoped('members').info({ peer: event.peerId.slice(-8) }, event.event)
      break
    case 'foreign':
    case 'rejected':
    case 'fault':
      scoped('members').warn({ peer: event.peerId.slice(-8) }, event.event)
      break
    case 'rebuilt':
      scoped('disk').warn({ rows: event.rows }, 'the index was made anew from the segments')
      break
    case 'damaged':
      scoped('disk').error({ rows: event.rows }, 'rows of a segment do not match their checksum')
      break
    case 'bad-block':
      scoped('disk').error(event.isDamaged ? 'a block is not what its name says' : 'a block cannot be read')
      break
    case 'disk':
      scoped('disk')[DISK_LEVELS[event.state]](DISK_WORDS[event.state])
      break
    case 'failed':
      scoped('node').error({ code: event.code, task: event.task }, 'a task failed')
      break
  }
}

const DISK_LEVELS = { ok: 'info', full: 'warn', readonly: 'error', failing: 'error' } as const
const DISK_WORDS = {
  ok: 'there is room, and the disk takes what is stored',
  full: 'this node is full: it takes no more blocks until there is room',
  readonly: 'the data directory cannot be written: nothing is stored until it can',
  failing: 'the disk failed a write: what it holds may be in danger'
} as const
