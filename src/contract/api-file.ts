import { z } from 'zod'

/** The file in a data directory that contains the address of the daemon's API and its token. */
export const API_FILE = 'api.json'

export const apiFileSchema = z.object({
  url: z.string(),
  socket: z.string(),
  token: z.string(),
  /**
   * The directory that this file was written for. In a copy of the directory it shows that the file belongs to the
   * original.
   */
  directory: z.string(),
  /** The file that the node was started with and that holds the network key. */
  keyFile: z.string().optional()
})
export type ApiFile = z.infer<typeof apiFileSchema>
