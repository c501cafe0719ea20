/**
 * Large objects on their way in from another site. What was made durable as a part survives a
 * restart; the put that ends the upload takes the parts over. An upload is known by the label of the
 * put it will become, so that a retry continues it and never starts a second one.
 */
import { assert } from '../../base/assert.ts'
import { ByteWriter } from '../../base/byte-writer.ts'
import type { OrderedIndex } from '../../index/ordered-index.ts'
import type { Location } from '../../volume/volume.ts'
import type { BlobWriter } from '../bodies/blob-writer.ts'
import type { RecordReader } from '../bodies/stored-object.ts'
import type { ByteHasher, ContentHasher, Hashing } from '../model/body-hasher.ts'
import { StoreUnavailableError } from '../model/errors.ts'
import { decodeLabel, encodeLabel, type PutMutation } from '../model/mutation.ts'
import type { StagedUpload, UploadName } from '../model/object-store.ts'
import { objectSlot } from '../model/slot.ts'
import type { Version } from '../model/version.ts'
import { blobDies, blobLives, type EffectContext } from '../tables/effects.ts'
import { blobKey, chunksUnplacedKey, uploadKey, uploadsRange } from '../tables/keys.ts'
import { isSame } from '../tables/moved-records.ts'
import { readAll } from '../tables/read-all.ts'
import { type PlacedBlob, partRecord, uploadRecord } from '../tables/records.ts'
import { type BlobRef, decodeLocation, encodeLocation, entryReader } from '../tables/slot-entry.ts'
import { decodeExtents } from '../tables/small-entries.ts'
import type { Admission } from '../write/admission.ts'
import type { RoomPromise } from '../write/room-promise.ts'
import type { Sequencer } from '../write/sequencer.ts'

interface UploadPart {
  readonly id: string
  readonly size: number
  /** Of the part's record. */
  readonly location: Location
}

/** What the index keeps of an upload. */
export interface UploadEntry {
  readonly label: Buffer
  readonly bucket: string
  readonly key: string
  readonly version: Version
  readonly location: Location
  readonly parts: readonly UploadPart[]
}

export class Uploads {
  readonly #options: UploadsOptions
  /** The index is built anew: a chunk that is not where its part says may be elsewhere. */
  #chunksMayHaveMoved = false
  /** By label as hex: few, since each is a large object under way. */
  readonly #entries = new Map<string, UploadEntry>()
  readonly #open = new Map<string, OpenUpload>()
  /** Being given up: their parts are still there, and are to be used by nobody. */
  readonly #ending = new Map<string, Promise<void>>()

  private constructor(options: UploadsOptions) {
    this.#options = options
  }

  static async load(options: UploadsOptions): Promise<Uploads> {
    const uploads = new Uploads(options)
    uploads.#chunksMayHaveMoved = options.index.get(chunksUnplacedKey) !== undefined
    for (const [, value] of await readAll(options.index, uploadsRange)) {
      const entry = decodeUpload(value)
      uploads.#entries.set(entry.label.toString('hex'), entry)
    }
    return uploads
  }

  /** Continues the upload of this very version, or begins it. */
  async stage(mutation: PutMutation, sequencer: Sequencer): Promise<OpenUpload> {
    const label = encodeLabel(mutation.slot, mutation.version)
    const id = label.toString('hex')
    while (this.#open.has(id) || this.#ending.has(id)) {
      await this.#open.get(id)?.close()
      await this.#ending.get(id)
    }
    // Not asked for again: the offer was refused unless there was room for what is missing.
    const promise = this.#options.admission.promise(this.missingBytesOf(mutation))
    const upload = new OpenUpload({
      ...{ ...this.#options, sequencer, label, uploads: this, promise },
      target: mutation,
    })
    this.#open.set(id, upload)
    try {
      await upload.resume(this.#entries.get(id))
      return upload
    } catch (thrown) {
      await upload.close()
      throw thrown
    }
  }

  /** What room the put still needs: nothing when its upload is open, since that has its promise. */
  missingBytesOf(mutation: PutMutation): number {
    const label = encodeLabel(mutation.slot, mutation.version)
    if (this.isOpen(label)) return 0
    const parts = this.#entries.get(label.toString('hex'))?.parts ?? []
    return parts.reduce((missing, part) => missing - part.size, mutation.meta.size)
  }

  /** What is durable and nobody has open. */
  resting(): readonly UploadName[] {
    const resting: UploadName[] = []
    for (const [id, { bucket, key, version }] of this.#entries) {
      if (this.#open.has(id) || this.#ending.has(id)) continue
      resting.push({ slot: objectSlot(bucket, key), version })
    }
    return resting
  }

  /** What is durable of it goes, unless somebody has it open. */
  async giveUp(label: Buffer, sequencer: Sequencer): Promise<void> {
    const id = label.toString('hex')
    if (this.#ending.has(id)) return await this.#ending.get(id)
    if (!this.#entries.has(id) || this.#open.has(id)) return
    const done = sequencer.sequenceUnplaced(uploadRecord('abort', label), (context) =>
      this.aborted(context, label),
    )
    const ending = done
      .catch(() => undefined) // the caller has it
      .finally(() => {
        if (this.#ending.get(id) === ending) this.#ending.delete(id)
      })
    this.#ending.set(id, ending)
    await done
  }

  closed(upload: OpenUpload): void {
    const id = upload.label.toString('hex')
    if (this.#open.get(id) === upload) this.#open.delete(id)
  }

  // --- effects, also in replay

  began(context: EffectContext, label: Buffer, location: Location): void {
    const { slot, version } = decodeLabel(label)
    if (this.#entries.has(label.toString('hex'))) {
      this.recordMoved(context, label, { location, part: undefined })
      return
    }
    if (slot.kind !== 'object') return
    context.accounts.recordLives(location)
    const { bucket, key } = slot
    this.#store(context, { label: Buffer.from(label), bucket, key, version, location, parts: [] })
  }

  gotPart(
    context: EffectContext,
    label: Buffer,
    placed: { readonly part: PlacedBlob; readonly location: Location },
  ): void {
    const entry = this.#entries.get(label.toString('hex'))
    if (entry === undefined) return
    if (entry.parts.some((part) => part.id === placed.part.id)) {
      this.recordMoved(context, label, { location: placed.location, part: placed.part.id })
      return
    }
    if (!this.#chunksMayHaveMoved && !areThere(context, placed.part.extents)) {
      this.aborted(context, label)
      return
    }
    blobLives(context, placed.part)
    context.accounts.recordLives(placed.location)
    const part: UploadPart = {
      id: placed.part.id,
      size: placed.part.size,
      location: placed.location,
    }
    this.#store(context, { ...entry, parts: [...entry.parts, part] })
  }

  /** Of an upload, or of one of its parts: the last copy in the log is the one that is referred to. */
  recordMoved(
    { accounts, batch }: EffectContext,
    label: Buffer,
    { location, part: id }: { readonly location: Location; readonly part: string | undefined },
  ): void {
    const entry = this.#entries.get(label.toString('hex'))
    const record = id === undefined ? entry : entry?.parts.find((part) => part.id === id)
    if (entry === undefined || record === undefined || isSame(record.location, location)) return
    accounts.recordLives(location)
    accounts.recordDies(record.location)
    const parts = entry.parts.map((part) => (part.id === id ? { ...part, location } : part))
    this.#store({ batch }, id === undefined ? { ...entry, location } : { ...entry, parts })
  }

  /**
   * The index was built anew: how an upload ended may be nowhere in the log any more, so all begin anew
   * that have not ended for sure.
   */
  giveUpAll(context: EffectContext): void {
    this.#chunksMayHaveMoved = false
    for (const { label } of [...this.#entries.values()]) this.aborted(context, label)
  }

  /** The parts' bytes die too. */
  aborted(context: EffectContext, label: Buffer): void {
    const entry = this.#entries.get(label.toString('hex'))
    if (entry === undefined) return
    for (const part of entry.parts) blobDies(context, part)
    this.#drop(context, entry)
  }

  /**
   * A mutation took effect: its own upload is done, those of older versions are moot. A copy of what lost
   * a conflict may have been made here while the same copy came in from elsewhere: it has other bytes.
   */
  overtaken(effect: {
    readonly bucket: string
    readonly key: string | undefined
    readonly version: Version
    /** What a large put has its bytes in. */
    readonly blobs?: readonly BlobRef[]
    readonly context: EffectContext
  }): void {
    const { blobs = [], context } = effect
    for (const entry of this.#entries.values()) {
      if (entry.bucket !== effect.bucket || entry.version > effect.version) continue
      if (effect.key !== undefined && entry.key !== effect.key) continue
      if (effect.key !== undefined && entry.version === effect.version)
        this.#becameObject(context, entry, blobs)
      else this.aborted(context, entry.label)
    }
    for (const upload of [...this.#open.values()]) {
      const { slot, version } = upload.target
      if (slot.bucket !== effect.bucket || version >= effect.version) continue
      if (effect.key === undefined || slot.key === effect.key) upload.overtake()
    }
  }

  entryOf(label: Buffer): UploadEntry | undefined {
    return this.#entries.get(label.toString('hex'))
  }

  /** Its end is on its way into the log. */
  isEnding(label: Buffer): boolean {
    return this.#ending.has(label.toString('hex'))
  }

  isOpen(label: Buffer): boolean {
    return this.#open.has(label.toString('hex'))
  }

  has(label: Buffer): boolean {
    return this.#entries.has(label.toString('hex'))
  }

  /**
   * Parts that the put did not take over die: it came whole meanwhile (as a copy of what lost a conflict
   * may be made here while the same copy comes in from elsewhere), or the upload was begun anew and the
   * record of its first end is gone from the log that is replayed.
   */
  #becameObject(context: EffectContext, entry: UploadEntry, blobs: readonly BlobRef[]): void {
    const taken = new Set(blobs.map(({ id }) => id))
    for (const part of entry.parts) if (!taken.has(part.id)) blobDies(context, part)
    this.#drop(context, entry)
  }

  #store({ batch }: Pick<EffectContext, 'batch'>, entry: UploadEntry): void {
    this.#entries.set(entry.label.toString('hex'), entry)
    batch.put(uploadKey(entry.label), encodeUpload(entry))
  }

  #drop({ batch, accounts }: EffectContext, entry: UploadEntry): void {
    accounts.recordDies(entry.location)
    for (const part of entry.parts) accounts.recordDies(part.location)
    this.#entries.delete(entry.label.toString('hex'))
    batch.del(uploadKey(entry.label))
  }
}

function areThere({ accounts }: EffectContext, extents: readonly Location[]): boolean {
  return extents.every((extent) => accounts.isThere(extent))
}

export interface UploadsOptions {
  readonly index: OrderedIndex
  readonly reader: RecordReader
  readonly openWriter: (hasher: ByteHasher) => BlobWriter
  readonly hashing: Hashing
  readonly admission: Admission
}

interface OpenUploadOptions extends UploadsOptions {
  readonly sequencer: Sequencer
  readonly label: Buffer
  /** What it will become. */
  readonly target: Pick<PutMutation, 'slot' | 'version'>
  readonly uploads: Uploads
  /** Room for what has still to come. */
  readonly promise: RoomPromise
}

export class OpenUpload implements StagedUpload {
  readonly label: Buffer
  readonly #options: OpenUploadOptions
  readonly #hasher: ContentHasher
  readonly #blobs: PlacedBlob[] = []
  #held = 0
  #parts = 0
  #writer: BlobWriter | undefined
  #sha256: Buffer | undefined
  readonly #promise: RoomPromise
  readonly #overtaken = new AbortController()
  #closed = false

  constructor(options: OpenUploadOptions) {
    this.label = options.label
    this.#hasher = options.hashing.openContent()
    this.#promise = options.promise
    this.#options = options
  }

  get heldBytes(): number {
    return this.#held
  }

  get target(): OpenUploadOptions['target'] {
    return this.#options.target
  }

  get overtaken(): AbortSignal {
    return this.#overtaken.signal
  }

  overtake(): void {
    this.#overtaken.abort()
  }

  /** Whether some of it was made durable as parts. */
  get hasParts(): boolean {
    return this.#parts > 0
  }

  /** Of all bytes, once {@link complete} has been called. */
  get sha256(): Buffer {
    assert(this.#sha256 !== undefined, 'an upload is complete before it is verified')
    return this.#sha256
  }

  /** Reads what survived, so that the hash goes on where it was. */
  async resume(entry: UploadEntry | undefined): Promise<void> {
    for (const part of entry?.parts ?? []) {
      const stored = this.#options.index.get(blobKey(part.id))
      if (stored === undefined) throw unindexedPart()
      const extents = decodeExtents(stored)
      await this.#hashAll(extents)
      this.#blobs.push({ id: part.id, size: part.size, extents })
      this.#held += part.size
      this.#parts++
    }
  }

  /** The chunks may be moved, and the upload ended, while they are read. */
  async #hashAll(extents: readonly Location[]): Promise<void> {
    const { reader } = this.#options
    const unpin = reader.pin(extents)
    try {
      for (const extent of extents) {
        const bytes = await reader.readBody(extent, { start: 0, end: extent.bodyLength })
        await this.#hasher.update(bytes)
      }
    } finally {
      unpin()
    }
  }

  async append(bytes: Uint8Array): Promise<void> {
    this.#assertOpen()
    this.#writer ??= this.#options.openWriter(this.#hasher)
    this.#held += bytes.length
    await this.#writer.write(bytes)
    this.#promise.spend(bytes.length)
  }

  async checkpoint(): Promise<void> {
    this.#assertOpen()
    const writer = this.#writer
    if (writer === undefined || writer.size === 0) return
    if (this.#isDecided()) return
    const part = await writer.finish()
    // What replaces it may have been sequenced while the bytes became durable: asked at the very moment
    // at which the records are. The writer keeps the bytes for whoever completes or ends the upload.
    if (this.#closed || this.#isDecided()) return
    this.#writer = undefined
    try {
      await this.#addPart(part)
    } finally {
      await writer.close()
    }
  }

  /** An upload that began behind what replaced it would never be overtaken. */
  #isDecided(): boolean {
    return this.#options.sequencer.isDecided(decodeLabel(this.label))
  }

  async #addPart(part: PlacedBlob): Promise<void> {
    const { sequencer, uploads } = this.#options
    const label = this.label
    const begun = uploads.has(label)
      ? undefined
      : sequencer.sequenceUnplaced(uploadRecord('upload', label), (context, location) =>
          uploads.began(context, label, location),
        )
    const added = sequencer.sequenceUnplaced(partRecord(label, part), (context, location) =>
      uploads.gotPart(context, label, { part, location }),
    )
    this.#parts++
    await Promise.all([begun, added])
    this.#blobs.push(part)
  }

  /** All bytes are here: where they lie, in order. */
  async complete(): Promise<readonly PlacedBlob[]> {
    this.#assertOpen()
    if (this.#writer !== undefined) this.#blobs.push(await this.#writer.finish())
    this.#sha256 = await this.#hasher.digest()
    return this.#blobs
  }

  /** Also when the handle has ended, as long as nobody else has taken the upload over. */
  async abort(): Promise<void> {
    await this.close()
    await this.#options.uploads.giveUp(this.label, this.#options.sequencer)
  }

  /** Ends this handle; what is durable stays for the next one. */
  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    this.#promise.release()
    this.#options.uploads.closed(this)
    this.#hasher.close()
    await this.#writer?.close()
  }

  #assertOpen(): void {
    if (this.#closed) throw new StoreUnavailableError('the upload was taken over or has ended')
  }
}

/** Known here from when its batch is built: until that is durable, or if it fails, nothing can go on from it. */
function unindexedPart(): StoreUnavailableError {
  return new StoreUnavailableError('a part of the upload is not in the index yet', {
    hint: 'Try again; if it recurs, the index cannot be written: see the health of the site.',
  })
}

function encodeUpload(entry: UploadEntry): Buffer {
  const writer = new ByteWriter(256).u8(1).bytes(entry.label)
  encodeLocation(writer, entry.location)
  writer.varint(entry.parts.length)
  for (const part of entry.parts) {
    writer.raw(Buffer.from(part.id, 'hex')).varint(part.size)
    encodeLocation(writer, part.location)
  }
  return writer.finish()
}

export function decodeUpload(bytes: Uint8Array): UploadEntry {
  const reader = entryReader(bytes)
  const label = reader.bytes()
  const { slot, version } = decodeLabel(label)
  assert(slot.kind === 'object', 'uploads are of objects')
  const location = decodeLocation(reader)
  const parts: UploadPart[] = []
  for (let left = reader.varint(); left > 0; left--) {
    const id = reader.raw(16).toString('hex')
    const size = reader.varint()
    parts.push({ id, size, location: decodeLocation(reader) })
  }
  return { label, bucket: slot.bucket, key: slot.key, version, location, parts }
}
