import { z } from 'zod'

/** The file in a data directory that contains the address of the daemon's API and its token. */
export const API_FILE = 'api.json'

export const apiFileSchema = z.object({ url: z.string(), socket: z.string(), token: z.string() })
export type ApiFile = z.infer<typeof apiFileSchema>
