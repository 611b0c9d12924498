import type { ComponentLogger, Logger } from '../../util/logger.ts'

/** The logs of all puts. They are made once, since making a log costs more than a small put can spare. */
export interface PutLogs {
  put: Logger
  placer: Logger
  acknowledgement: Logger
}

export function putLogs(logger: ComponentLogger): PutLogs {
  return {
    put: logger.forComponent('dfs:blocks:put'),
    placer: logger.forComponent('dfs:blocks:placer'),
    acknowledgement: logger.forComponent('dfs:blocks:acknowledgement')
  }
}
