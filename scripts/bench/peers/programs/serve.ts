/** What a machine of a peer that is a Node program can do. Each is a process, driven by messages of its parent. */
export interface Program {
  open(dataDir: string, address: string): Promise<unknown>
  /** Connects to what `open` of the first machine has returned. */
  connect(to: unknown): Promise<unknown>
  /** Returns what `fetch` of the others needs. */
  add(source: string): Promise<unknown>
  fetch(added: unknown, folder: string): Promise<unknown>
  read(added: unknown, range?: { offset: number; length: number }): Promise<unknown>
}

export interface Request {
  id: number
  verb: keyof Program
  args: unknown[]
}

export interface Reply {
  id: number
  result?: unknown
  error?: string
}

/** Does what the parent asks, until it goes. */
export function serve(program: Program): void {
  const answer = async ({ id, verb, args }: Request): Promise<void> => {
    try {
      const run = program[verb] as (...args: unknown[]) => Promise<unknown>
      process.send?.({ id, result: await run(...args) } satisfies Reply)
    } catch (error) {
      process.send?.({ id, error: String((error as Error).stack) } satisfies Reply)
    }
  }
  process.on('message', message => void answer(message as Request))
  process.once('disconnect', () => process.exit(0))
}
