import { z } from 'zod'
import { fromHex, toHex, utf8 } from '../util/bytes.ts'
import type { Chance } from '../util/chance.ts'
import type { ComponentLogger } from '../util/logger.ts'
import { freeForStore } from './capacity.ts'
import { CAPACITY_BYTES_MIN } from './constants.ts'
import { FileMissingError, UnknownLayoutError } from './errors.ts'
import { type Files, replaceFile } from './files.ts'
import { LARGE_ROWS, SMALL_ROWS } from './segment-layout.ts'

/** The name of the format file, which every data directory has. */
export const FORMAT_FILE = 'format.json'
const LAYOUT = 3
const STORE_ID_BYTES = 16
const DAMAGED =
  'the format file of the data directory is damaged: restore format.json from a backup, or give another --data-dir'

const layoutSchema = z.object({ layout: z.number().int() })
const formatSchema = z.strictObject({
  layout: z.literal(LAYOUT),
  storeId: z.string().regex(/^[0-9a-f]{32}$/),
  capacity: z.number().int().positive().optional()
})

export interface Format {
  storeId: Uint8Array
  /** How many bytes this node may hold, by what was free at its first start; undefined if that was too little to say. */
  capacityBytes: number | undefined
  isNew: boolean
}

/**
 * Reads the format file of a data directory, or writes one if there is none and the directory has no segments. The
 * format file records the layout, so that later versions recognise it, the store id, which the index and the segments
 * must share, and the capacity, which is measured once: other files on the disk come and go. `isNew` is true if the file was written now. In any other directory, a file that does
 * not exist has been lost.
 */
export async function openFormat(files: Files, chance: Chance, logger: ComponentLogger): Promise<Format> {
  const log = logger.forComponent('dfs:disk:directory')
  await files.makeDirectory('')
  const text = await readIfThere(files)
  if (text !== undefined) {
    log('found the format file of the data directory')
    return { ...parseFormat(text), isNew: false }
  }
  if ([...(await files.list(SMALL_ROWS.folder)), ...(await files.list(LARGE_ROWS.folder))].length > 0)
    throw new UnknownLayoutError(
      'the data directory has lost its format file: restore format.json from a backup, or give another --data-dir'
    )
  const storeId = chance.bytes(STORE_ID_BYTES)
  const capacityBytes = await measuredCapacity(files)
  const format = { layout: LAYOUT, storeId: toHex(storeId), capacity: capacityBytes }
  await replaceFile(files, FORMAT_FILE, utf8(`${JSON.stringify(format)}\n`))
  log('wrote the format file of a new data directory')
  return { storeId, capacityBytes, isNew: true }
}

/** A disk that is nearly full at the first start says nothing about how much there will be room for. */
async function measuredCapacity(files: Files): Promise<number | undefined> {
  const bytes = freeForStore(await files.space())
  return bytes < CAPACITY_BYTES_MIN ? undefined : bytes
}

async function readIfThere(files: Files): Promise<Uint8Array | undefined> {
  try {
    return await files.read(FORMAT_FILE)
  } catch (error) {
    if (error instanceof FileMissingError) return undefined
    throw error
  }
}

/** Returns what a format file says. Throws an `UnknownLayoutError` for another layout, and for any other text. */
export function parseFormat(text: Uint8Array): Omit<Format, 'isNew'> {
  let value: unknown
  try {
    value = JSON.parse(Buffer.from(text).toString('utf8'))
  } catch (cause) {
    throw new UnknownLayoutError(DAMAGED, { cause })
  }
  const { data } = layoutSchema.safeParse(value)
  if (data !== undefined && data.layout !== LAYOUT) {
    const advice =
      data.layout > LAYOUT ? 'upgrade dfs-node' : 'use the release that wrote it, or give another --data-dir'
    throw new UnknownLayoutError(
      `the data directory has layout ${data.layout}, but this version only knows ${LAYOUT}: ${advice}`
    )
  }
  const parsed = formatSchema.safeParse(value)
  if (!parsed.success) throw new UnknownLayoutError(DAMAGED)
  return { storeId: fromHex(parsed.data.storeId), capacityBytes: parsed.data.capacity }
}
