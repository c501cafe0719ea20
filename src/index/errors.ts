import { ComioError, type ComioErrorOptions, messageOf } from '../base/errors.ts'

/** The index could not be opened and is not merely busy: moving it aside and rebuilding helps. */
export class IndexOpenError extends ComioError {
  readonly code: string = 'INDEX_OPEN_FAILED'

  /** Whether it failed for want of room. */
  get isForRoom(): boolean {
    return saysNoRoom(this.message)
  }

  constructor(path: string, cause: unknown) {
    super(`the index at ${path} cannot be opened: ${messageOf(cause)}`, {
      hint: 'Check the permissions of that folder and the space on its disk.',
      facts: { path },
      cause,
    })
  }
}

/** What the index has on disk contradicts itself. It is a view of the log and can be rebuilt. */
export class IndexCorruptError extends IndexOpenError {
  override readonly code = 'INDEX_CORRUPT'
}

/** Another process, or another part of this one, has the index open. */
export class IndexInUseError extends ComioError {
  readonly code = 'INDEX_IN_USE'

  constructor(path: string, cause?: unknown) {
    super(`the index at ${path} is in use by another process`, {
      hint: 'Stop the other comio server that uses this storage path, or name another path.',
      facts: { path },
      cause,
    })
  }
}

/** LevelDB passes on the system's words, and no code. */
function saysNoRoom(message: string): boolean {
  return /no space left|disk quota exceeded|file too large|ENOSPC|EDQUOT|EFBIG/i.test(message)
}

/** A batch failed: nothing is known about what reached the disk. */
export class IndexWriteError extends ComioError {
  readonly code = 'INDEX_WRITE_FAILED'

  /** Whether it failed for want of room, which may come back. */
  get isForRoom(): boolean {
    return saysNoRoom(this.message)
  }

  constructor(message: string, options: ComioErrorOptions = {}) {
    super(message, {
      hint: 'The index is opened anew and the batch is written again; look at the disk if it recurs.',
      ...options,
    })
  }
}

/** A stored entry could not be read back. */
export class IndexReadError extends ComioError {
  readonly code = 'INDEX_READ_FAILED'

  constructor(cause: unknown) {
    super(`the index cannot be read: ${messageOf(cause)}`, {
      hint: 'Look at the disk. The index can be moved away: it is rebuilt from the volume at the next start.',
      cause,
    })
  }
}

/** The index was closed, as during shutdown. */
export class IndexClosedError extends ComioError {
  readonly code = 'INDEX_CLOSED'

  constructor() {
    super('the index is closed')
  }
}

/** The index could be opened anew only with nobody reading it meanwhile. */
export class IndexViewError extends ComioError {
  readonly code = 'INDEX_VIEW_FAILED'

  constructor(path: string, copiedMax: number) {
    super(
      `the file system makes no hard links, and the index at ${path} is too large to be copied (more than ${copiedMax} bytes)`,
      {
        hint: 'Restart the site. Put the index on a file system with hard links (server.index_path).',
        facts: { path, copiedMax },
      },
    )
  }
}
