import { pipeline } from 'node:stream/promises'

/** Bytes to stdout, as fast as whoever reads them takes them. A reader that closes early ends it without a complaint. */
export async function writeOut(body: AsyncIterable<Uint8Array>): Promise<void> {
  try {
    await pipeline(body, process.stdout, { end: false })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EPIPE') throw error
  }
}
