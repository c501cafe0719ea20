/**
 * The site that is asked: digests of ranges, single slots, bytes read again, and slots as they would
 * be shipped. A few questions at a time; whoever comes beyond that is told to come back.
 */
import { createHash } from 'node:crypto'
import { rethrowAssertion } from '../../base/assert.ts'
import type { ObjectMender } from '../../store/model/elsewhere.ts'
import { encodeMutation } from '../../store/model/mutation.ts'
import type {
  ChangeFeed,
  ObjectStore,
  OpenObject,
  OutgoingChange,
  RemoteLedger,
} from '../../store/model/object-store.ts'
import type { Slot } from '../../store/model/slot.ts'
import type { SlotState, Survey } from '../../store/model/survey.ts'
import type { VolumeIdentity } from '../../volume/volume.ts'
import { type ChangeFrame, encodeBatch, type FrameBody } from '../wire/batch-codec.ts'
import { ComparisonBusyError } from '../wire/errors.ts'
import type { LinkTraffic } from '../wire/link-traffic.ts'
import type { Inquiry } from '../wire/protocol.ts'
import type { TicketBook } from '../wire/tickets.ts'
import {
  type AnsweredDigest,
  type DigestQuery,
  fetchBytesMax,
  type LookedSlot,
  parseDigestQuery,
  parseFetchQuery,
  type ReadBytes,
  verifyLimits,
} from '../wire/verify-documents.ts'

/** What is compared: the engine of one machine, or whatever stands in its place. */
export interface ComparedSite {
  readonly survey: Survey
  readonly feed: ChangeFeed
  readonly mender: ObjectMender
  openObject: ObjectStore['openObject']
  ledgers(): readonly RemoteLedger[]
}

export interface ResponderOptions {
  readonly site: ComparedSite
  readonly identity: VolumeIdentity
  readonly tickets: TicketBook
  /** Of what others fetch; they are no remotes of this site, and nothing else is sent to them. */
  readonly traffic: LinkTraffic
}

const questionsMax = 4
/** Larger bodies are offered for a ticket. */
const inlineBytesMax = 2 ** 20

export class Responder {
  readonly #options: ResponderOptions
  #running = 0

  constructor(options: ResponderOptions) {
    this.#options = options
  }

  /** @throws MalformedBytesError, ComparisonBusyError; whatever the store fails with */
  async answer(what: Inquiry, text: string): Promise<Buffer> {
    if (this.#running >= questionsMax) {
      throw new ComparisonBusyError('this site answers other comparisons just now', {
        hint: 'Try again when they are done.',
      })
    }
    this.#running++
    try {
      if (what === 'fetch') return await this.#fetch(parseFetchQuery(text))
      return Buffer.from(JSON.stringify(await this.#digest(parseDigestQuery(text))))
    } finally {
      this.#running--
    }
  }

  async #digest(query: DigestQuery): Promise<object> {
    const { site, identity } = this.#options
    switch (query.ask) {
      case 'buckets': {
        const buckets = await site.survey.buckets(query.after, verifyLimits.buckets)
        return { volumeId: identity.volumeId, buckets }
      }
      case 'digests':
        return { ranges: await this.#digests(query.ranges) }
      case 'list': {
        const entries = await site.survey.list(query.range, query.limit)
        return {
          entries: entries.map(({ digest, ...entry }) => ({
            ...entry,
            digest: digest.toString('base64'),
          })),
        }
      }
      case 'look':
        return { slots: query.slots.map((slot) => this.#look(slot, query.volumeId)) }
      case 'bytes': {
        const objects: ReadBytes[] = []
        for (const slot of query.slots) objects.push(await readBytes(site, slot))
        return { objects }
      }
    }
  }

  async #digests(ranges: (DigestQuery & { readonly ask: 'digests' })['ranges']) {
    const { survey } = this.#options.site
    const answers: (Omit<AnsweredDigest, 'digest'> & { readonly digest: string })[] = []
    for (const range of ranges) {
      const { count, digest } = await survey.digest(range, verifyLimits.rangeEntries)
      const floor = survey.stateOf({ kind: 'floor', bucket: range.bucket }).version
      answers.push({ count, digest: digest?.toString('base64') ?? '', floor })
    }
    return answers
  }

  #look(slot: Slot, volumeId: string): LookedSlot {
    const { survey } = this.#options.site
    const state = survey.stateOf(slot)
    const floor = survey.stateOf({ kind: 'floor', bucket: slot.bucket }).version
    return { ...state, pending: this.#isPendingFor(volumeId, state), floor }
  }

  #isPendingFor(volumeId: string, { seq }: SlotState): boolean {
    if (seq === 0) return false
    return this.#options.site
      .ledgers()
      .some((ledger) => ledger.confirmedPeer()?.volumeId === volumeId && ledger.isPending({ seq }))
  }

  /** A batch of what the slots hold now, as far as there is room for it; what is absent is left out. */
  async #fetch(slots: readonly Slot[]): Promise<Buffer> {
    const { identity } = this.#options
    const frames: ChangeFrame[] = []
    let bytes = 0
    for (const slot of slots) {
      const change = currentChange(this.#options.site, slot)
      if (change === undefined) continue
      const { object } = change
      const size = object?.info.meta.size ?? 0
      if (frames.length > 0 && size <= inlineBytesMax && bytes + size > fetchBytesMax) {
        object?.close()
        break
      }
      const body = await this.#bodyOf(object)
      if (body === undefined) break
      if (body.kind === 'inline') bytes += body.length
      frames.push({ seq: change.seq, encoded: encodeMutation(change.mutation), body })
    }
    const { volumeId, incarnation } = identity
    const header = { session: 'fetch', volumeId, incarnation, through: 0 }
    return Buffer.concat(encodeBatch(header, frames))
  }

  /** Undefined when all tickets are out. The object is closed, or the ticket's. */
  async #bodyOf(object: OpenObject | undefined): Promise<FrameBody | undefined> {
    if (object === undefined) return { kind: 'none' }
    const length = object.info.meta.size
    if (length > inlineBytesMax) {
      const issued = this.#options.tickets.issue(object, this.#options.traffic)
      if (issued !== undefined) return { kind: 'offer', ticket: issued.ticket, length }
      object.close()
      return undefined
    }
    try {
      const pieces: Buffer[] = []
      for await (const piece of object.read()) pieces.push(piece)
      return { kind: 'inline', pieces, length }
    } finally {
      object.close()
    }
  }
}

/** The slot's newest mutation with its bytes, whoever it was shipped to. */
export function currentChange(
  { survey, feed }: ComparedSite,
  slot: Slot,
): OutgoingChange | undefined {
  const { seq, version, bytes } = survey.stateOf(slot)
  if (version === undefined) return undefined
  return feed.loadChange({ seq, slot, version, bytes, since: 0 })
}

/** Reads an object again, from the disk, and hashes what came. */
export async function readBytes(
  site: Pick<ComparedSite, 'openObject'>,
  slot: Slot,
): Promise<ReadBytes> {
  const gone: ReadBytes = { result: 'gone', version: undefined, sha256: '', expected: '' }
  const object = slot.kind === 'object' ? site.openObject(slot) : undefined
  if (object === undefined) return gone
  const { version, meta } = object.info
  const { algorithm, digest } = meta.contentHash
  const expected = algorithm === 'sha256' ? digest.toString('hex') : ''
  try {
    const sha256 = createHash('sha256')
    const pieces = object.read(undefined, { passing: true })
    for await (const piece of pieces) sha256.update(piece)
    return { result: 'read', version, sha256: sha256.digest('hex'), expected }
  } catch (error) {
    rethrowAssertion(error)
    // What cannot be read is just what was looked for: it is told, and the log has it.
    return { result: 'unreadable', version, sha256: '', expected }
  } finally {
    object.close()
  }
}
