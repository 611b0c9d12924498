import { z } from 'zod'

/** The file in a data directory that contains the address of the daemon's API and its token. */
export const API_FILE = 'api.json'

export const apiFileSchema = z.object({
  url: z.string(),
  socket: z.string(),
  token: z.string(),
  /** The directory that this was written for. A copy of the directory has a copy of this file, and is another one. */
  directory: z.string(),
  /** The file that the node was started with and that holds the network key. */
  keyFile: z.string().optional()
})
export type ApiFile = z.infer<typeof apiFileSchema>
