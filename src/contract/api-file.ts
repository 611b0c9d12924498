/** The file in a data directory that contains the address of the daemon's API and its token. */
export const API_FILE = 'api.json'

export interface ApiFile {
  url: string
  socket: string
  token: string
  /**
   * The directory that this file was written for. In a copy of the directory it shows that the file belongs to the
   * original.
   */
  directory: string
  /** The file that the node was started with and that holds the network key. */
  keyFile?: string | undefined
}

/** Reads the text of such a file. Returns undefined if it is damaged. */
export function parseApiFile(text: string): ApiFile | undefined {
  let file: Partial<ApiFile> | null
  try {
    file = JSON.parse(text)
  } catch {
    return undefined
  }
  const isWhole = [file?.url, file?.socket, file?.token, file?.directory].every(field => typeof field === 'string')
  return isWhole && ['string', 'undefined'].includes(typeof file?.keyFile) ? (file as ApiFile) : undefined
}
