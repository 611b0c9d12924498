import { usage } from './errors.ts'
import { readSecret } from './secret-file.ts'

const FILE = { flag: '--passphrase-file', what: 'a passphrase', bytesMax: 4096 }

/** Reads a passphrase from the file that `--passphrase-file` names. Throws what `readSecret` throws. */
export async function readPassphrase(file: string, signal?: AbortSignal): Promise<string> {
  const passphrase = (await readSecret(file, { ...FILE, signal })).replace(/\r?\n$/, '')
  if (passphrase === '') throw usage('--passphrase-file: this file is empty: write the passphrase into it')
  return passphrase
}
