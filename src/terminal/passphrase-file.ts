import { readFile } from 'node:fs/promises'
import { messageOf, usage } from './errors.ts'

/** Reads a passphrase from the file that `--passphrase-file` names. Throws a usage error if there is none. */
export async function readPassphrase(file: string): Promise<string> {
  const text = await readFile(file, 'utf8').catch(error => {
    throw usage(`cannot read the file named by --passphrase-file: ${messageOf(error)}`)
  })
  const passphrase = text.replace(/\r?\n$/, '')
  if (passphrase === '') throw usage('the file named by --passphrase-file is empty: write the passphrase into it')
  return passphrase
}
