import { ComioError } from '../../base/errors.ts'

export class NoSuchBucketError extends ComioError {
  readonly code = 'NO_SUCH_BUCKET'
  constructor(bucket: string) {
    super(`bucket ${bucket} does not exist`, { facts: { bucket } })
  }
}

export class BucketNotEmptyError extends ComioError {
  readonly code = 'BUCKET_NOT_EMPTY'
  constructor(bucket: string) {
    super(`bucket ${bucket} still holds objects, so it cannot be deleted`, {
      facts: { bucket },
      hint: 'Delete its objects first, or purge it: DELETE /admin/BUCKET/objects?confirm=true',
    })
  }
}

export class PreconditionFailedError extends ComioError {
  readonly code = 'PRECONDITION_FAILED'
  constructor(facts: { readonly bucket: string; readonly key: string }) {
    super('the object is not in the state that the request demands, so nothing was changed', {
      facts,
    })
  }
}

export class BadDigestError extends ComioError {
  readonly code = 'BAD_DIGEST'
  constructor(facts: { readonly bucket: string; readonly key: string }) {
    super('the bytes that arrived do not have the announced MD5, so nothing was stored', { facts })
  }
}

export class IncompleteBodyError extends ComioError {
  readonly code = 'INCOMPLETE_BODY'
  constructor(facts: { readonly expected: number; readonly received: number }) {
    super(
      `the body has ${facts.received} bytes where ${facts.expected} were announced, so nothing was stored`,
      { facts },
    )
  }
}

export class StorageFullError extends ComioError {
  readonly code = 'STORAGE_FULL'
  constructor(facts: { readonly wanted: number }, write: 'write' | 'delete' = 'write') {
    if (write === 'write') {
      super('the volume has no room for this write; reads and deletes go on', {
        facts,
        hint: 'Delete or purge objects, or give the volume more space with --size.',
      })
    } else {
      super('the volume has no room left to note this delete; nothing was changed, reads go on', {
        facts,
        hint: 'Purge a bucket, or give the volume more space with --size.',
      })
    }
  }
}

/**
 * The disk of the index is full. What was under way when that showed may be in the log, and counts then
 * once there is room.
 */
export class IndexFullError extends ComioError {
  readonly code = 'INDEX_FULL'
  constructor(cause?: unknown) {
    super('the disk of the index has no room for writes; reads go on', {
      hint: 'Make room on that disk: writes are taken again within seconds, without a restart.',
      cause,
    })
  }
}

export class NoSuchConflictError extends ComioError {
  readonly code = 'NO_SUCH_CONFLICT'
  constructor(id: number) {
    super(`this site lists no conflict ${id}`, {
      facts: { conflict: id },
      hint: 'See comio repl conflicts list. Each site numbers the conflicts that it noticed itself.',
    })
  }
}

export class LoserNotKeptError extends ComioError {
  readonly code = 'LOSER_NOT_KEPT'
  constructor(id: number) {
    super(`the object that lost conflict ${id} is not kept, so it cannot become current`, {
      facts: { conflict: id },
      hint: 'It may be in a backup, or with whoever wrote it. The policy keep-both keeps the next ones.',
    })
  }
}

export class InvalidNameError extends ComioError {
  readonly code = 'INVALID_NAME'
}

export class MetadataTooLargeError extends ComioError {
  readonly code = 'METADATA_TOO_LARGE'
  constructor(facts: { readonly bytes: number; readonly limit: number }) {
    super(`the object's headers and metadata take ${facts.bytes} bytes, ${facts.limit} may be`, {
      facts,
    })
  }
}

export class ObjectTooLargeError extends ComioError {
  readonly code = 'OBJECT_TOO_LARGE'
  constructor(facts: { readonly bytes: number; readonly limit: number }) {
    super(`an object of ${facts.bytes} bytes exceeds the limit of ${facts.limit}`, { facts })
  }
}

/** A change from elsewhere would make this site remember more writers than there can be. */
export class TooManySitesError extends ComioError {
  readonly code = 'TOO_MANY_SITES'
}

/** The site takes no writes; what was answered is safe. */
export class StoreUnavailableError extends ComioError {
  readonly code = 'STORE_UNAVAILABLE'
}

/** The stored bytes are not those that were written. Never answered with wrong bytes. */
export class CorruptObjectError extends ComioError {
  readonly code = 'CORRUPT_OBJECT'
}

/** The index holds something that this program did not write. */
export class CorruptIndexError extends ComioError {
  readonly code = 'CORRUPT_INDEX'
}

/** What is said of a remote is kept in the head of one record. */
export class RemoteTooLargeError extends ComioError {
  readonly code = 'REMOTE_TOO_LARGE'
  constructor(facts: { readonly remote: string; readonly bytes: number; readonly limit: number }) {
    const { remote, bytes, limit } = facts
    super(
      `what remote ${remote} is to have and how it is reached takes ${bytes} bytes, and this volume keeps at most ${limit} of it`,
      {
        facts,
        hint: 'Name fewer buckets and prefixes, or shorter ones that cover several.',
      },
    )
  }
}

export class TooManyReplaysError extends ComioError {
  readonly code = 'TOO_MANY_REPLAYS'
  constructor(remote: string) {
    super(`too many replays to remote ${remote} are under way, so none was begun`, {
      facts: { remote },
      hint: 'Wait until comio repl status shows that they are through, or send all with --all.',
    })
  }
}

export class TooManyDecisionsError extends ComioError {
  readonly code = 'TOO_MANY_DECISIONS'
  constructor(remote: string) {
    super(`what was released or discarded before is still on its way to remote ${remote}`, {
      facts: { remote },
      hint: 'Nothing was decided now. Wait until comio repl status shows less pending, then try again.',
    })
  }
}
