/** What comes in from another site: small changes with the sender's mark, and uploads in parts. */
import { createHash } from 'node:crypto'
import { StorageFullError, StoreUnavailableError } from '../../store/model/errors.ts'
import type { PutMutation } from '../../store/model/mutation.ts'
import {
  type ApplyOutcome,
  type IncomingBody,
  type StagedUpload,
  volumeFullReason,
} from '../../store/model/object-store.ts'
import { makeVersion, timeOf } from '../../store/model/version.ts'
import { stateKey } from '../../store/tables/keys.ts'
import { decodeStoreState } from '../../store/tables/small-entries.ts'
import { inputOf, type WriteRecord } from '../history.ts'
import { type SlotName, slotOf } from '../site-contents.ts'
import { demand, Violation } from '../violation.ts'
import type { CrashClient } from './crash-client.ts'
import type { UploadModel } from './crash-model.ts'
import { otherName, siteName } from './crash-site.ts'

const nothing = { durable: 0, appended: 0 }
const peer = { volumeId: '1'.repeat(32), incarnation: '2'.repeat(16), epoch: 1, ended: false }

export class IncomingWork {
  readonly #client: CrashClient

  constructor(client: CrashClient) {
    this.#client = client
  }

  /** A small object, and the mark of what was sent up to it. */
  async apply(name: SlotName): Promise<void> {
    const { model, history, chance } = this.#client.parts
    if (model.isMade(name.bucket) !== true) return
    await this.#client.alone(name, async () => {
      const record = history.beginPut(otherName, name, chance.below(2000))
      const mutation = this.#mutationOf(record, name)
      const body = { kind: 'inline', bytes: record.content } as const
      const through = model.peerThrough + 1
      await this.#apply(record, { name, mutation, body, through })
    })
  }

  /** Begins an upload; ends it, gives it up or leaves it. */
  async upload(name: SlotName): Promise<void> {
    const { model, history, chance, options } = this.#client.parts
    if (model.isMade(name.bucket) !== true) return
    await this.#client.alone(name, async () => {
      const record = history.beginPut(otherName, name, chance.between(1, options.largeBytesMax))
      const mutation = this.#mutationOf(record, name)
      const changes = model.changes(name)
      const begun = { name, record, mutation, changes, isDoubtful: false, ...nothing }
      model.uploads.add(begun)
      await this.#continue(begun)
    })
  }

  /** Goes on with an upload that was left, perhaps by an earlier process. */
  async resume(name: SlotName): Promise<void> {
    const { model, chance } = this.#client.parts
    const left = [...model.uploads].filter(
      (one) => one.name.bucket === name.bucket && model.changes(one.name) === one.changes,
    )
    if (left.length === 0 || model.isMade(name.bucket) !== true) return
    const upload = chance.pick(left)
    await this.#client.alone(upload.name, async () => {
      const isStill = model.uploads.has(upload) && model.changes(upload.name) === upload.changes
      if (isStill) await this.#continue(upload)
    })
  }

  async #continue(upload: UploadModel): Promise<void> {
    const { chance } = this.#client.parts
    const what = `${upload.record.id} ${slotOf(upload.name)}`
    const staged = await this.#client.run(`stage ${what}`, () =>
      this.#client.life.engine.stageUpload(upload.mutation),
    )
    if (staged.kind !== 'answered') return
    const handle = staged.value
    this.#checkHeld(upload, handle)
    const end = chance.pick(['complete', 'complete', 'abort', 'leave'] as const)
    const isWhole = await this.#append(upload, handle, end === 'complete')
    if (isWhole && end === 'complete') return this.#complete(upload, handle)
    if (end === 'abort') return this.#abort(upload, handle)
    await this.#client.run(`leave ${what}`, () => handle.close())
  }

  #checkHeld(upload: UploadModel, { heldBytes }: StagedUpload): void {
    const { record, durable, appended, isDoubtful } = upload
    const isSound =
      heldBytes <= appended && (heldBytes >= durable || (isDoubtful && heldBytes === 0))
    const say = (): string => `${record.id} has ${heldBytes} bytes, of ${durable} to ${appended}`
    demand(isSound, 'upload', say)
    upload.durable = heldBytes
    upload.appended = heldBytes
    upload.isDoubtful = false
  }

  /** False when it did not get to the end. */
  async #append(upload: UploadModel, handle: StagedUpload, toEnd: boolean): Promise<boolean> {
    const { chance } = this.#client.parts
    const { content, id } = upload.record
    const end = toEnd ? content.length : chance.below(content.length + 1)
    while (upload.appended < end) {
      const next = Math.min(end, upload.appended + chance.between(1, 9000))
      const piece = content.subarray(upload.appended, next)
      upload.appended = next
      const appended = await this.#client.run(`append ${id} to ${next}`, () => handle.append(piece))
      if (appended.kind !== 'answered') return false
      if (!chance.hits(0.5)) continue
      const kept = await this.#client.run(`part ${id} to ${next}`, () => handle.checkpoint())
      if (kept.kind !== 'answered') return false
      upload.durable = next
      await this.#client.pause()
    }
    return toEnd
  }

  async #complete(upload: UploadModel, handle: StagedUpload): Promise<void> {
    const { name, record, mutation } = upload
    // Whether it is an upload still, or an object, is open until that is answered.
    upload.isDoubtful = true
    const body = { kind: 'staged', upload: handle } as const
    const change = { name, mutation, body, through: undefined }
    if (await this.#apply(record, change)) this.#client.parts.model.uploads.delete(upload)
  }

  async #abort(upload: UploadModel, handle: StagedUpload): Promise<void> {
    upload.isDoubtful = true
    const { kind } = await this.#client.run(`abort ${upload.record.id}`, () => handle.abort())
    if (kind !== 'answered') return
    upload.durable = 0
    upload.appended = 0
  }

  /** Whether it was taken. */
  async #apply(
    record: WriteRecord,
    change: {
      readonly name: SlotName
      readonly mutation: PutMutation
      readonly body: IncomingBody
      readonly through: number | undefined
    },
  ): Promise<boolean> {
    const { name, mutation, body, through } = change
    const { model } = this.#client.parts
    const mark = through === undefined ? undefined : { ...peer, through }
    const what = `${body.kind} ${record.id} ${slotOf(name)}`
    const outcome = await this.#client.change(what, { slots: [[name, record]] }, async () => {
      const [applied] = await this.#client.life.engine.apply([{ mutation, body }], mark)
      // A purge that was answered with an error may have come late, and is not seen by what is indexed.
      if (applied?.result === 'conflict' && this.#client.mayComeLate) throw lateConflict()
      return taken(applied)
    })
    this.#client.note(record, outcome)
    if (outcome.kind === 'answered' && through !== undefined) model.peerThrough = through
    return outcome.kind === 'answered'
  }

  /** A write of the other site that has seen everything here. */
  #mutationOf(record: WriteRecord, { bucket, key }: SlotName): PutMutation {
    const { life, parts } = this.#client
    const stored = parts.indexed().get(stateKey)
    const seen = stored === undefined ? undefined : decodeStoreState(stored).version
    const { model } = parts
    const now = Math.floor(life.clock.now())
    const time = Math.max(now, model.otherTime, seen === undefined ? 0 : timeOf(seen)) + 1
    model.otherTime = time
    const { headers, userMetadata } = inputOf(record)
    return {
      kind: 'put',
      slot: { kind: 'object', bucket, key, versionId: 'null' },
      version: makeVersion(time, 0, otherName),
      context: [makeVersion(time, 0, siteName)],
      meta: {
        size: record.content.length,
        etag: record.etag,
        contentHash: {
          algorithm: 'sha256',
          digest: createHash('sha256').update(record.content).digest(),
        },
        lastModified: now,
        headers,
        userMetadata,
      },
    }
  }
}

/** @throws StorageFullError when there was no room, StoreUnavailableError when it may have happened, Violation when it never can */
function taken(outcome: ApplyOutcome | undefined): void {
  if (outcome?.result === 'applied') return
  if (outcome?.result === 'later') {
    if (outcome.reason === volumeFullReason) throw new StorageFullError({ wanted: 0 })
    throw new StoreUnavailableError(outcome.reason)
  }
  throw new Violation('incoming', `a change that has seen everything is ${JSON.stringify(outcome)}`)
}

function lateConflict(): StoreUnavailableError {
  return new StoreUnavailableError('it lost to a change that came late')
}
