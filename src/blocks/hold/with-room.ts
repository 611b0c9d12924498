import { NoSpaceError } from '../../disk/errors.ts'

/** Tries to free blocks on a full disk. Resolves to true if it is worth trying again to store one. Never rejects. */
export type MakeRoom = () => Promise<boolean>

/** Runs `work`, and once more if the disk was full and room could be made. `work` must be safe to repeat. */
export async function withRoom<T>(makeRoom: MakeRoom, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (!(error instanceof NoSpaceError) || !(await makeRoom())) throw error
    return work()
  }
}
