import { createHash } from 'node:crypto'
import type { DfsNode } from '../../src/index.ts'

export interface Shown {
  path: string
  kind: string
  size: number
  conflict: boolean
  sha256?: string
  versions?: Array<{ size: number; deleted: boolean; expired: boolean }>
}

/** Everything that a member shows: each file and directory, with the digest of its content and its versions. */
export async function shows(node: DfsNode): Promise<Shown[]> {
  const items: Shown[] = []
  for await (const { path, kind, size, conflict } of node.list('/', { recursive: true })) {
    const item = { path, kind, size, conflict }
    items.push(kind === 'file' ? { ...item, ...(await contentOf(node, path)) } : item)
  }
  return items
}

async function contentOf(node: DfsNode, path: string): Promise<Pick<Shown, 'sha256' | 'versions'>> {
  const hash = createHash('sha256')
  for await (const part of await node.get(path)) hash.update(part)
  const versions: Shown['versions'] = []
  for await (const { size, deleted, expired } of node.versions(path)) versions.push({ size, deleted, expired })
  return { sha256: hash.digest('hex'), versions }
}

/** The paths of what was deleted and can be restored. */
export async function showsDeleted(node: DfsNode): Promise<string[]> {
  const paths: string[] = []
  for await (const { path } of node.list('/', { recursive: true, deleted: true })) paths.push(path)
  return paths
}
