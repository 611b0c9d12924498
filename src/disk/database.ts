import type { AbstractLevel } from 'abstract-level'

/** An ordered key-value database of bytes, as a port: any database behind `abstract-level`, such as `classic-level`. */
export type Database = AbstractLevel<string | Buffer | Uint8Array, Uint8Array, Uint8Array> & {
  /**
   * Writes the contents of the memory to tables durably, before it compacts anything. In a database without this
   * function, a `sync` must also cover everything that was written before it.
   */
  compactRange?(from: Uint8Array, to: Uint8Array): Promise<void>
}
