import { join } from 'node:path'

/** The folder of both programs: bundled if `npm test` runs, else their sources. Both are the same code. */
export const PROGRAMS: string = process.env['DFS_TEST_PROGRAMS'] ?? join(import.meta.dirname, '../../src/bin')
