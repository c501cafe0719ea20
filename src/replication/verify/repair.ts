/**
 * Repairs differences by the ways that changes travel anyway: what the remote lacks goes back to
 * pending in its ledger and is shipped again; what this site lacks is fetched and applied like any
 * change that comes in. Neither can make an older version replace a newer one. Damaged bytes are
 * replaced by those of the same version at the other site, which has the hash to compare them with.
 */
import { assert, rethrowAssertion } from '../../base/assert.ts'
import { messageOf } from '../../base/errors.ts'
import { CorruptObjectError } from '../../store/model/errors.ts'
import type { PutMutation } from '../../store/model/mutation.ts'
import type {
  ApplyOutcome,
  ChangeSink,
  IncomingChange,
  OpenObject,
  RemoteLedger,
  StagedUpload,
} from '../../store/model/object-store.ts'
import { type Slot, slotText } from '../../store/model/slot.ts'
import { type SoundBytesOptions, soundBytes } from '../sound-bytes.ts'
import type { DecodedFrame } from '../wire/batch-codec.ts'
import { RemoteUnreachableError } from '../wire/errors.ts'
import { incomingOf } from '../wire/incoming.ts'
import { bytesQuestion, versionedObject } from '../wire/read-documents.ts'
import type { SiteReader } from '../wire/site-reader.ts'
import type { BlobTransport } from '../wire/transport.ts'
import { verifyLimits } from '../wire/verify-documents.ts'
import type { Difference } from './judge.ts'
import type { RemoteSurvey } from './remote-survey.ts'
import type { ComparedSite } from './responder.ts'

export interface RepairOptions {
  readonly there: RemoteSurvey
  readonly ledger: RemoteLedger
  readonly sink: ChangeSink
  readonly blobs: BlobTransport
  readonly site: ComparedSite
  /** Of this site. */
  readonly volumeId: string
  /** Undefined where single objects cannot be read from the remote. */
  readonly reader: SiteReader | undefined
  /** Where the remote is reached, for the bytes of large objects; several addresses behind commas. */
  readonly url: string
  readonly signal: AbortSignal
}

const rangeBytes = 8 * 2 ** 20

const sameVersion =
  'some have the same version and another content: write those objects once more where they are right'
const notSent =
  'deletes and purges that are held back (comio repl release sends them), or were made before this remote was linked, are not sent: delete those objects there, or write them once more here'
const purgedBefore =
  'some were purged here before this remote was linked, and such a purge is not sent: delete those objects there, or write them there once more if they are to be kept'
const damagedTwice =
  'some are damaged at both sites in the same place: write them once more, or compare with a third site that has them'

export class Repair {
  readonly #options: RepairOptions
  /** Why the last thing that could not be repaired was not; undefined when all could be. */
  problem: string | undefined

  constructor(options: RepairOptions) {
    this.#options = options
  }

  /** Begins the repair of what can be repaired, and resolves to the slots that are worth a look. */
  async repair(differences: readonly Difference[]): Promise<readonly Slot[]> {
    const again = differences.filter(isNewerHere)
    if (again.length > 0) await this.#options.ledger.requeue(again.map(({ seq }) => seq))
    const wanted = differences.filter(isNewerThere).map(({ slot }) => slot)
    for (let at = 0; at < wanted.length; at += verifyLimits.objects) {
      await this.#fetch(wanted.slice(at, at + verifyLimits.objects))
    }
    const begun = differences.filter(
      (difference) => isNewerHere(difference) || isNewerThere(difference),
    )
    if (begun.length < differences.length) {
      this.problem = sameVersion
    }
    return begun.map(({ slot }) => slot)
  }

  /** Says why, if that is known, some of what was begun is as it was. */
  noteLeft(differences: readonly Difference[]): void {
    const isKeptBack = ({ kind, what }: Difference): boolean =>
      (what === 'deletion' || what === 'purge') && kind !== 'newer-there'
    if (differences.some(isKeptBack)) this.problem ??= notSent
    if (differences.some((one) => this.#isPurgedHere(one))) this.problem ??= purgedBefore
  }

  /** What lies under this site's floor cannot come here, and the remote was never told of the floor. */
  #isPurgedHere({ slot, there }: Difference): boolean {
    if (slot.kind !== 'object' || there === undefined) return false
    const { version } = this.#options.site.survey.stateOf({ kind: 'floor', bucket: slot.bucket })
    return version !== undefined && there <= version
  }

  /** Replaces bytes that were found damaged, and resolves to the slots that are worth another look. */
  async mend(differences: readonly Difference[]): Promise<readonly Slot[]> {
    const { reader } = this.#options
    const mended = new Set<Slot>()
    const failed = new Set<Slot>()
    // What is damaged at both is put together here, and brought there.
    for (const difference of differences.toSorted(hereFirst)) {
      const { kind, slot } = difference
      if (kind === 'differs' || reader === undefined) {
        this.problem = sameVersion
        continue
      }
      if (failed.has(slot)) continue
      const isTwice = differences.filter((other) => other.slot === slot).length > 1
      try {
        await this.#mendOne(difference, reader)
        mended.add(slot)
      } catch (error) {
        rethrowAssertion(error)
        if (this.#options.signal.aborted) throw error
        failed.add(slot)
        this.problem = isTwice
          ? damagedTwice
          : `damaged bytes could not be replaced: ${messageOf(error)}`
      }
    }
    return [...mended]
  }

  async #mendOne({ kind, slot, here }: Difference, reader: SiteReader): Promise<void> {
    const { site, signal } = this.#options
    const object = slot.kind === 'object' ? site.openObject(slot) : undefined
    // It was replaced meanwhile, and what is there now has bytes of its own.
    if (object === undefined) return
    const { info } = object
    const length = info.meta.size
    try {
      if (info.version !== here) return
      if (kind === 'corrupt-there') {
        await reader.bringBytes(
          versionedObject(info),
          { length, bytes: () => object.read() },
          signal,
        )
        return
      }
      const bytes = soundBytes({ start: 0, end: length }, this.#sources(object, reader))
      const result = await site.mender.mend(info, info.version, bytes)
      if (result === 'mismatch') throw new Error('the remote has other bytes of this version')
    } finally {
      object.close()
    }
  }

  #sources(object: OpenObject, reader: SiteReader): SoundBytesOptions {
    const { volumeId, signal } = this.#options
    return {
      own: (range) => object.read(range),
      other: async (range) => {
        const question = bytesQuestion(volumeId, object.info, range)
        const length = range.end - range.start
        try {
          return await reader.readBytes(question, { length, signal })
        } catch (error) {
          rethrowAssertion(error)
          // Damaged there as well, as far as one can know: less of it may be sound.
          if (signal.aborted || error instanceof RemoteUnreachableError) throw error
          return undefined
        }
      },
      isDamage: (error) => error instanceof CorruptObjectError,
    }
  }

  async #fetch(slots: readonly Slot[]): Promise<void> {
    let wanted = new Map(slots.map((slot) => [slotText(slot), slot]))
    while (wanted.size > 0) {
      const frames = await this.#options.there.fetch([...wanted.values()])
      const before = wanted.size
      for (const frame of frames) {
        const change = incomingOf(frame)
        // Only what was asked for is taken, once.
        if (!wanted.delete(slotText(change.mutation.slot))) continue
        await this.#take(frame, change)
      }
      // What is left has no answer: it is gone there, or all tickets are out.
      if (wanted.size === before) return
      wanted = new Map(wanted)
    }
  }

  async #take(frame: DecodedFrame, change: IncomingChange): Promise<void> {
    const { sink } = this.#options
    const { mutation } = change
    if (frame.body.kind === 'offer') {
      assert(mutation.kind === 'put', 'only puts are offered')
      const [asked] = await sink.apply([change], undefined)
      if (asked?.result !== 'need') return this.#note(asked)
      const ticket = frame.body.ticket.toString('hex')
      const upload = await this.#pull(mutation, ticket)
      return this.#note(
        (await sink.apply([{ mutation, body: { kind: 'staged', upload } }], undefined))[0],
      )
    }
    this.#note((await sink.apply([change], undefined))[0])
  }

  async #pull(mutation: PutMutation, ticket: string): Promise<StagedUpload> {
    const { sink, blobs, url, signal } = this.#options
    const origins = url.split(', ')
    let at = 0
    const upload = await sink.stageUpload(mutation)
    try {
      while (upload.heldBytes < mutation.meta.size) {
        const start = upload.heldBytes
        const end = Math.min(mutation.meta.size, start + rangeBytes)
        try {
          const from = { origin: origins[at] as string, ticket, start, end }
          for await (const piece of await blobs.fetchRange(from, signal)) await upload.append(piece)
        } catch (error) {
          // Elsewhere, and from where this one got to.
          if (!(error instanceof RemoteUnreachableError) || ++at >= origins.length) throw error
        }
      }
      return upload
    } catch (error) {
      await upload.close()
      throw error
    }
  }

  #note(outcome: ApplyOutcome | undefined): void {
    if (outcome?.result === 'later') this.problem = `this site takes some later: ${outcome.reason}`
    if (outcome?.result === 'refused') this.problem = `this site refuses some: ${outcome.message}`
  }
}

/** The register of a bucket is merged from both. */
function isNewerHere({ kind, what, seq }: Difference): boolean {
  if (seq === 0) return false
  return kind === 'missing-there' || kind === 'newer-here' || what === 'bucket'
}

function isNewerThere({ kind, what, there }: Difference): boolean {
  if (there === undefined) return false
  return kind === 'missing-here' || kind === 'newer-there' || what === 'bucket'
}

function hereFirst(one: Difference, other: Difference): number {
  return Number(one.kind === 'corrupt-there') - Number(other.kind === 'corrupt-there')
}
