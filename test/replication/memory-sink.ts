import { createHash } from 'node:crypto'
import type { Mutation, PutMutation } from '../../src/store/model/mutation.ts'
import type {
  ApplyOutcome,
  ChangeSink,
  IncomingChange,
  PeerMark,
  StagedUpload,
  UploadName,
} from '../../src/store/model/object-store.ts'
import { slotText } from '../../src/store/model/slot.ts'

interface Held {
  readonly mutation: Mutation
  readonly body: Buffer | undefined
}

/** Keeps the highest version of each slot, in memory. */
export class MemorySink implements ChangeSink {
  readonly slots = new Map<string, Held>()
  readonly marks = new Map<string, PeerMark>()
  readonly uploads = new Map<string, MemoryUpload>()
  isFull = false
  /** Overrides the outcome of a change before anything is applied. */
  intercept: (change: IncomingChange) => ApplyOutcome | undefined = () => undefined

  async apply(
    changes: readonly IncomingChange[],
    mark: PeerMark | undefined,
  ): Promise<readonly ApplyOutcome[]> {
    await undefined
    if (mark !== undefined) this.marks.set(mark.volumeId, mark)
    return changes.map((change) => this.intercept(change) ?? this.#applyOne(change))
  }

  peerMark(volumeId: string): PeerMark | undefined {
    return this.marks.get(volumeId)
  }

  senders(): readonly string[] {
    return [...this.marks.values()].flatMap(({ volumeId, ended }) => (ended ? [] : volumeId))
  }

  async endLink(mark: Omit<PeerMark, 'ended' | 'through'>): Promise<void> {
    await undefined
    this.marks.set(mark.volumeId, { ...mark, through: 0, ended: true })
  }

  async stageUpload(mutation: PutMutation): Promise<StagedUpload> {
    const key = keyOf(mutation)
    let upload = this.uploads.get(key)
    if (upload === undefined) {
      upload = new MemoryUpload(mutation, () => this.uploads.delete(key))
      this.uploads.set(key, upload)
    }
    upload.isOpen = true
    return upload
  }

  restingUploads(): readonly UploadName[] {
    return [...this.uploads.values()].flatMap(({ name, isOpen }) => (isOpen ? [] : [name]))
  }

  async giveUpUpload(name: UploadName): Promise<void> {
    await undefined
    const upload = this.uploads.get(keyOf(name))
    if (upload?.isOpen === false) await upload.abort()
  }

  #applyOne({ mutation, body }: IncomingChange): ApplyOutcome {
    const text = slotText(mutation.slot)
    const held = this.slots.get(text)
    if (held !== undefined && held.mutation.version >= mutation.version) {
      const result = held.mutation.version === mutation.version ? 'duplicate' : 'superseded'
      return { result }
    }
    if (body.kind === 'offered') return { result: 'need' }
    const bytes =
      body.kind === 'staged'
        ? (body.upload as MemoryUpload).bytes()
        : body.kind === 'inline'
          ? Buffer.from(body.bytes)
          : body.kind === 'passing'
            ? Buffer.concat(body.pieces, body.length)
            : undefined
    if (mutation.kind === 'put') {
      const digest = createHash('sha256')
        .update(bytes ?? Buffer.alloc(0))
        .digest()
      if (!digest.equals(mutation.meta.contentHash.digest)) {
        return {
          result: 'refused',
          code: 'CONTENT_MISMATCH',
          message: 'other bytes than announced',
        }
      }
    }
    this.slots.set(text, { mutation, body: bytes })
    return { result: 'applied' }
  }
}

export class MemoryUpload implements StagedUpload {
  aborted = false
  closed = 0
  isOpen = false
  readonly name: UploadName
  readonly #drop: () => void
  readonly #overtaken = new AbortController()
  #bytes: Buffer[] = []
  #held = 0

  constructor(name: UploadName, drop: () => void) {
    this.name = name
    this.#drop = drop
  }

  get heldBytes(): number {
    return this.#held
  }

  get overtaken(): AbortSignal {
    return this.#overtaken.signal
  }

  overtake(): void {
    this.#overtaken.abort()
  }

  async append(bytes: Uint8Array): Promise<void> {
    this.#bytes.push(Buffer.from(bytes))
    this.#held += bytes.length
  }

  async checkpoint(): Promise<void> {
    await undefined
  }

  async close(): Promise<void> {
    this.closed++
    this.isOpen = false
  }

  async abort(): Promise<void> {
    this.aborted = true
    this.#drop()
  }

  bytes(): Buffer {
    return Buffer.concat(this.#bytes)
  }
}

function keyOf({ slot, version }: UploadName): string {
  return `${slotText(slot)} ${version}`
}
