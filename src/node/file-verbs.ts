import type { Readable, Writable } from 'node:stream'
import { TypedEventEmitter } from 'main-event'
import type { DfsNodeEvents } from '../api.ts'
import { parsePath } from '../format/path.ts'
import { cancelPurge } from '../fs/cancel-purge.ts'
import type { FsContext } from '../fs/context.ts'
import { copiesBelow } from '../fs/copies.ts'
import { copyingPath, copyPath } from '../fs/copy.ts'
import { spaceOf } from '../fs/df.ts'
import { usageOf } from '../fs/du.ts'
import { evictPath } from '../fs/evict.ts'
import { checkBlocks } from '../fs/fsck.ts'
import { collectGarbage } from '../fs/gc.ts'
import { openFile } from '../fs/get.ts'
import { listPath } from '../fs/list.ts'
import { listDeleted } from '../fs/list-deleted.ts'
import { makeDirectory } from '../fs/mkdir.ts'
import { movePath } from '../fs/move.ts'
import { putFile } from '../fs/put.ts'
import { removePath, removingPath } from '../fs/remove.ts'
import { isThere } from '../fs/resolve.ts'
import { restorePath, restoringPath } from '../fs/restore.ts'
import type { FsckOptions, FsckResult, GcOptions, GcResult, SpaceReport, Usage } from '../fs/space-types.ts'
import { statPath } from '../fs/stat.ts'
import type {
  AbortOptions,
  CopiesItem,
  CopyResult,
  EvictResult,
  GetOptions,
  ListItem,
  ListOptions,
  OpenFile,
  PutOptions,
  PutResult,
  RemoveOptions,
  RemoveResult,
  Source,
  Stat
} from '../fs/types.ts'
import type { RestoreOptions, RestoreResult, VersionItem } from '../fs/version-types.ts'
import { versionsOf } from '../fs/versions.ts'
import { watchPath } from '../fs/watch.ts'
import type { WatchEvent, WatchOptions } from '../fs/watch-types.ts'
import { PutStream, readStreamOf } from './file-streams.ts'

/** The verbs of a node that act on files and directories. Each is passed to the rooms that are running. */
export abstract class FileVerbs extends TypedEventEmitter<DfsNodeEvents> {
  /** Returns the rooms, once they run. Throws for a node that is not a member, and for one that has been stopped. */
  protected abstract fs(): Promise<FsContext>

  async put(path: string, source: Source, options: PutOptions = {}): Promise<PutResult> {
    return putFile(await this.fs(), parsePath(path), source, options)
  }

  async get(path: string, options: GetOptions = {}): Promise<OpenFile> {
    return openFile(await this.fs(), parsePath(path), options)
  }

  async *list(path: string, options: ListOptions = {}): AsyncGenerator<ListItem> {
    const list = options.deleted === true ? listDeleted : listPath
    yield* list(await this.fs(), parsePath(path), options)
  }

  async *watch(path: string, options: WatchOptions = {}): AsyncGenerator<WatchEvent> {
    const watched = parsePath(path)
    let { since } = options
    // A watch ends when its rooms stop. Those that replace them have another history, so the next event is a reset.
    for (;;)
      for await (const event of watchPath(await this.fs(), watched, { ...options, since })) {
        yield event
        since = event.cursor
      }
  }

  async *copies(path: string, options: AbortOptions = {}): AsyncGenerator<CopiesItem> {
    yield* copiesBelow(await this.fs(), parsePath(path), options)
  }

  async stat(path: string, options: AbortOptions = {}): Promise<Stat> {
    return statPath(await this.fs(), parsePath(path), options)
  }

  async mkdir(path: string, options: AbortOptions = {}): Promise<{ path: string }> {
    return makeDirectory(await this.fs(), parsePath(path), options)
  }

  async move(
    from: string,
    to: string,
    options: AbortOptions & { noClobber?: boolean | undefined } = {}
  ): Promise<{ from: string; path: string }> {
    return movePath(await this.fs(), parsePath(from), parsePath(to), options)
  }

  async copy(
    from: string,
    to: string,
    options: AbortOptions & { noClobber?: boolean | undefined } = {}
  ): Promise<CopyResult> {
    return copyPath(await this.fs(), parsePath(from), parsePath(to), options)
  }

  async *copying(
    from: string,
    to: string,
    options: AbortOptions & { noClobber?: boolean | undefined } = {}
  ): AsyncGenerator<CopyResult> {
    yield* copyingPath(await this.fs(), parsePath(from), parsePath(to), options)
  }

  async remove(path: string, options: RemoveOptions & { wait?: boolean | undefined } = {}): Promise<RemoveResult> {
    return removePath(await this.fs(), parsePath(path), options)
  }

  async cancelPurge(path: string, options: AbortOptions = {}): Promise<RemoveResult> {
    return cancelPurge(await this.fs(), parsePath(path), options)
  }

  async *removing(path: string, options: RemoveOptions = {}): AsyncGenerator<RemoveResult> {
    yield* removingPath(await this.fs(), parsePath(path), options)
  }

  async *versions(path: string, options: AbortOptions = {}): AsyncGenerator<VersionItem> {
    yield* versionsOf(await this.fs(), parsePath(path), options)
  }

  async restore(path: string, options: RestoreOptions = {}): Promise<RestoreResult> {
    return restorePath(await this.fs(), parsePath(path), options)
  }

  async *restoring(path: string, options: RestoreOptions = {}): AsyncGenerator<RestoreResult> {
    yield* restoringPath(await this.fs(), parsePath(path), options)
  }

  async evict(path: string, options: AbortOptions = {}): Promise<EvictResult> {
    return evictPath(await this.fs(), parsePath(path), options.signal)
  }

  async gc(options: GcOptions = {}): Promise<GcResult> {
    return collectGarbage(await this.fs(), options)
  }

  async fsck(options: FsckOptions = {}): Promise<FsckResult> {
    return checkBlocks(await this.fs(), options)
  }

  async df(options: AbortOptions = {}): Promise<SpaceReport> {
    return spaceOf(await this.fs(), options)
  }

  async du(path: string, options: AbortOptions = {}): Promise<Usage> {
    return usageOf(await this.fs(), parsePath(path), options)
  }

  async exists(path: string, options: AbortOptions = {}): Promise<boolean> {
    return isThere(await this.fs(), parsePath(path), options.signal)
  }

  createReadStream(path: string, options: GetOptions = {}): Readable {
    return readStreamOf(() => this.get(path, options))
  }

  createWriteStream(path: string, options: PutOptions = {}): Writable {
    return new PutStream(source => this.put(path, source, options))
  }
}
