/**
 * An object open for reading. Its segments are pinned, so that its bytes stay whatever happens to its
 * slot; whoever opened it must close it. Nothing is handed out that does not match its checksum.
 */
import { assert, rethrowAssertion } from '../../base/assert.ts'
import { ComioError } from '../../base/errors.ts'
import { giveBack } from '../../base/give-back.ts'
import type { OrderedIndex } from '../../index/ordered-index.ts'
import { StaleLocationError } from '../../volume/format/errors.ts'
import type { Location, ReadRecord } from '../../volume/volume.ts'
import { CorruptObjectError } from '../model/errors.ts'
import { encodeLabel } from '../model/mutation.ts'
import type {
  ByteRange,
  ObjectInfo,
  ObjectName,
  OpenObject,
  ReadOptions,
} from '../model/object-store.ts'
import { objectSlot } from '../model/slot.ts'
import { blobKey } from '../tables/keys.ts'
import { isSame } from '../tables/moved-records.ts'
import type { LiveEntry } from '../tables/slot-entry.ts'
import { decodeExtents } from '../tables/small-entries.ts'

/** What reading needs of the volume. */
export interface RecordReader {
  readRecord(location: Location, expect: { readonly seq: number }): Promise<ReadRecord>
  readRecordNow(location: Location, expect: { readonly seq: number }): ReadRecord | undefined
  readBody(
    location: Location,
    range: ByteRange,
    expect?: { readonly seq: number; readonly label: Uint8Array },
  ): Promise<Buffer>
  /** Keeps the segments from being freed until released. */
  pin(locations: readonly Location[]): () => void
}

/** The most that one piece of a read holds. */
const pieceBytesMax = 2 ** 20

export class StoredObject implements OpenObject {
  readonly info: ObjectInfo
  readonly #reader: RecordReader
  readonly #entry: LiveEntry
  readonly #extents: readonly Location[]
  readonly #label: Uint8Array | undefined
  readonly #unpin: () => void
  #closed = false

  /** @throws StaleLocationError when a segment of `extents` is gone */
  constructor(options: {
    readonly info: ObjectInfo
    readonly entry: LiveEntry
    readonly reader: RecordReader
    readonly extents: readonly Location[]
    readonly label: Uint8Array | undefined
  }) {
    this.info = options.info
    this.#entry = options.entry
    this.#reader = options.reader
    this.#extents = options.extents
    this.#label = options.label
    this.#unpin = options.reader.pin(options.extents)
  }

  readNow(): Buffer | undefined {
    assert(!this.#closed, 'a closed object is not read')
    const { location, recordSeq, body } = this.#entry
    if (body.kind !== 'inline' || location === undefined) return undefined
    try {
      const record = this.#reader.readRecordNow(location, { seq: recordSeq })
      return record === undefined ? undefined : this.#bodyOf(record)
    } catch (thrown) {
      rethrowAssertion(thrown)
      // Whatever it is, the read that is waited for meets it again, and says so.
      return undefined
    }
  }

  async readWhole(): Promise<Buffer> {
    if (this.#entry.body.kind === 'inline') return this.#readInline()
    const pieces: Buffer[] = []
    for await (const piece of this.read()) pieces.push(piece)
    return Buffer.concat(pieces)
  }

  async *read(
    range: ByteRange = { start: 0, end: this.info.meta.size },
    options: ReadOptions = {},
  ): AsyncGenerator<Buffer> {
    assert(!this.#closed, 'a closed object is not read')
    if (this.#entry.body.kind === 'blobs') yield* this.#readBlobs(range, options)
    else if (range.end > range.start) {
      const isWhole = range.start === 0 && range.end === this.info.meta.size
      yield isWhole ? await this.#readInline() : await this.#readInlinePart(range)
    }
  }

  /** The disk reads while the client takes the pieces before. Each piece has memory of its own. */
  async *#readBlobs(range: ByteRange, options: ReadOptions): AsyncGenerator<Buffer> {
    const { passing = false, pieceBytes = () => pieceBytesMax, piecesAhead = () => 1 } = options
    // The index was built anew from a log in which the list was damaged.
    if (this.#extents.length === 0 && this.info.meta.size > 0) {
      throw this.#corrupt('the list of where they lie is damaged')
    }
    const places = piecesOf(this.#extents, range, pieceBytes)
    const reads: Promise<Buffer>[] = []
    try {
      for (;;) {
        while (reads.length <= piecesAhead()) {
          const place = places.next()
          if (place.done) break
          const read = this.#readPiece(place.value)
          read.catch(() => undefined) // thrown again where it is awaited
          reads.push(read)
        }
        const read = reads.shift()
        if (read === undefined) return
        const piece = await read
        yield piece
        if (passing) giveBack(piece)
      }
    } finally {
      // Nobody asked for these yet: whoever reads there meets what is wrong with them.
      for (const read of reads) read.then(giveBack, () => undefined)
    }
  }

  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.#unpin()
  }

  async #readInline(): Promise<Buffer> {
    const { location, recordSeq } = this.#entry
    assert(location !== undefined, 'an indexed entry has a location')
    return this.#checked(async () =>
      this.#bodyOf(await this.#reader.readRecord(location, { seq: recordSeq })),
    )
  }

  /** Of its blocks only those are looked at that the range touches: what is damaged elsewhere is no obstacle. */
  #readInlinePart(range: ByteRange): Promise<Buffer> {
    const { location, recordSeq, meta } = this.#entry
    assert(location !== undefined, 'an indexed entry has a location')
    return this.#checked(async () => {
      if (location.bodyLength !== meta.size) throw this.#otherRecord()
      const expect = { seq: recordSeq, label: this.#expectedLabel }
      return await this.#reader.readBody(location, range, expect)
    })
  }

  #bodyOf({ label, body }: ReadRecord): Buffer {
    const isIt = label.equals(this.#expectedLabel) && body.length === this.#entry.meta.size
    if (!isIt) throw this.#otherRecord()
    return body
  }

  get #expectedLabel(): Uint8Array {
    const { bucket, key } = this.info
    return this.#label ?? encodeLabel(objectSlot(bucket, key), this.#entry.version)
  }

  #otherRecord(): CorruptObjectError {
    return this.#corrupt('another record lies where the index says it is')
  }

  #readPiece(piece: { readonly extent: Location; readonly range: ByteRange }): Promise<Buffer> {
    return this.#checked(() => this.#reader.readBody(piece.extent, piece.range))
  }

  async #checked(read: () => Promise<Buffer>): Promise<Buffer> {
    try {
      return await read()
    } catch (thrown) {
      if (thrown instanceof ComioError && !(thrown instanceof CorruptObjectError)) {
        throw this.#corrupt(thrown.message, thrown)
      }
      throw thrown
    }
  }

  #corrupt(detail: string, cause?: unknown): CorruptObjectError {
    const { bucket, key, version } = this.info
    return new CorruptObjectError(`the stored bytes of ${bucket}/${key} are damaged: ${detail}`, {
      facts: { bucket, key, version },
      hint: 'Check the disk. Another site may hold the object unharmed.',
      cause,
    })
  }
}

/**
 * Opens what `find` finds. The entry, its extents and its segments are looked at one after the other,
 * and the index may move on in between: then the entry that is found anew is another one, or refers to
 * a copy. The same one twice without its bytes is damage.
 */
export function openStored(
  name: ObjectName,
  find: () => LiveEntry | undefined,
  from: {
    readonly reader: RecordReader
    readonly index: OrderedIndex
    /** Of the entry that is looked for, where it is at hand. */
    readonly label?: Uint8Array | undefined
  },
): StoredObject | undefined {
  let entry = find()
  while (entry !== undefined) {
    const info = infoOf(name, entry)
    let reason: unknown
    try {
      const extents = extentsOf(entry, from.index)
      if (extents !== undefined) {
        const { reader, label } = from
        return new StoredObject({ info, entry, reader, extents, label })
      }
    } catch (thrown) {
      if (!(thrown instanceof StaleLocationError)) throw thrown
      reason = thrown
    }
    const again = find()
    const isSameRecord = again?.seq === entry.seq && isSame(again.location, entry.location)
    if (isSameRecord) throw lostBytes(info, reason)
    entry = again
  }
  return undefined
}

function lostBytes(info: ObjectInfo, cause: unknown): CorruptObjectError {
  const { bucket, key, version } = info
  return new CorruptObjectError(`the index does not know any more where ${bucket}/${key} lies`, {
    facts: { bucket, key, version },
    hint: 'Start the site with its index folder moved away: it is built anew from the log.',
    cause,
  })
}

/** Undefined when the index has moved on and the blobs are gone. */
function extentsOf(entry: LiveEntry, index: OrderedIndex): readonly Location[] | undefined {
  assert(entry.location !== undefined, 'an indexed entry has a location')
  if (entry.body.kind === 'inline') return [entry.location]
  const all: Location[] = []
  for (const blob of entry.body.blobs) {
    const extents = index.get(blobKey(blob.id))
    if (extents === undefined) return undefined
    all.push(...decodeExtents(extents))
  }
  return all
}

function* piecesOf(
  extents: readonly Location[],
  range: ByteRange,
  pieceBytes: () => number,
): Generator<{ readonly extent: Location; readonly range: ByteRange }> {
  let offset = 0
  for (const extent of extents) {
    const start = Math.max(range.start - offset, 0)
    const end = Math.min(range.end - offset, extent.bodyLength)
    for (let at = start; at < end; ) {
      const to = Math.min(end, at + Math.min(pieceBytes(), pieceBytesMax))
      yield { extent, range: { start: at, end: to } }
      at = to
    }
    offset += extent.bodyLength
    if (offset >= range.end) return
  }
}

/** What an entry tells of its object. */
export function infoOf(name: ObjectName, entry: LiveEntry): ObjectInfo {
  const { seq, version, meta } = entry
  return { bucket: name.bucket, key: name.key, seq, version, meta }
}
