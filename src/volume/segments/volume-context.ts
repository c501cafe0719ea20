/** What the parts of one open volume share. */
import { rethrowAssertion } from '../../base/assert.ts'
import type { Clock } from '../../base/clock.ts'
import type { Logger } from '../../base/log.ts'
import { SerialQueue } from '../../base/serial-queue.ts'
import type { Device } from '../../device/device.ts'
import { VolumeReadOnlyError } from '../format/errors.ts'
import type { VolumeLimits } from '../format/limits.ts'
import type { VolumeIdentity } from '../format/volume-status.ts'
import type { HandleCache } from './handle-cache.ts'
import type { SegmentTable } from './segment-table.ts'

export interface VolumeParts {
  readonly device: Device
  readonly clock: Clock
  readonly logger: Logger
  readonly identity: VolumeIdentity
  readonly limits: VolumeLimits
  readonly table: SegmentTable
  readonly handles: HandleCache
  /** Told of each segment that goes from the device. */
  readonly onFreed: ((segment: number) => void) | undefined
}

export class VolumeContext {
  readonly device: Device
  readonly clock: Clock
  readonly logger: Logger
  readonly identity: VolumeIdentity
  readonly limits: VolumeLimits
  readonly table: SegmentTable
  readonly handles: HandleCache
  readonly onFreed: VolumeParts['onFreed']
  readonly volumeId: Buffer
  /**
   * Headers and superblocks are written in turn: the superblock's census must neither miss a segment
   * whose header is on its way nor count one whose header then fails.
   */
  readonly naming = new SerialQueue()
  readonly #background = new Set<Promise<void>>()
  #closed = false
  #readOnlyReason: string | undefined
  #readOnlyCause: unknown

  constructor(parts: VolumeParts) {
    this.device = parts.device
    this.clock = parts.clock
    this.logger = parts.logger
    this.identity = parts.identity
    this.limits = parts.limits
    this.table = parts.table
    this.handles = parts.handles
    this.onFreed = parts.onFreed
    this.volumeId = Buffer.from(parts.identity.volumeId, 'hex')
  }

  get readOnlyReason(): string | undefined {
    return this.#readOnlyReason
  }

  /** Nothing is written any more until the volume is opened again. */
  makeReadOnly(reason: string, cause: unknown): VolumeReadOnlyError {
    this.#readOnlyReason ??= reason
    this.#readOnlyCause ??= cause
    this.logger.error({ reason, cause }, 'the volume is read-only until it is opened again')
    return new VolumeReadOnlyError(reason, cause)
  }

  /** @throws VolumeReadOnlyError */
  assertWritable(): void {
    if (this.#readOnlyReason === undefined) return
    throw new VolumeReadOnlyError(this.#readOnlyReason, this.#readOnlyCause)
  }

  /** Runs `work` beside everything else; a failure is logged as `failure`, closing waits for it. */
  inBackground(failure: string, work: () => Promise<void>): void {
    // A pin that is released late must not change a volume that is somebody else's by now.
    if (this.#closed) return
    const running = work()
      .catch((error: unknown) => {
        rethrowAssertion(error)
        this.logger.warn({ error }, failure)
      })
      .finally(() => this.#background.delete(running))
    this.#background.add(running)
  }

  /** Resolves when nothing runs in the background any more, and keeps it so. */
  async close(): Promise<void> {
    while (this.#background.size > 0) await Promise.all(this.#background)
    this.#closed = true
  }
}
