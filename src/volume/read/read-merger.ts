/**
 * Reads that are asked for in the same turn and lie near each other become one read: a sender that
 * loads a batch of small records in the order of the log pays one system call for it, not a hundred.
 */
import type { DeviceSegment } from '../../device/device.ts'
import { readBlocks } from '../segments/segment-read.ts'

/** Larger reads gain nothing from company. */
const smallBytesMax = 32 * 1024
/** One merged read: what a slow reader of one record can hold on to. */
const mergedBytesMax = 256 * 1024
/** Bytes that are read in vain to save a call. */
const gapBytesMax = 4 * 1024

interface WaitingRead {
  readonly offset: number
  readonly length: number
  readonly resolve: (bytes: Buffer) => void
  readonly reject: (thrown: unknown) => void
}

export class ReadMerger {
  readonly #waiting = new Map<DeviceSegment, WaitingRead[]>()

  /** As `readBlocks`: fewer bytes only at the segment's end. The handle must stay acquired. */
  read(handle: DeviceSegment, offset: number, length: number): Promise<Buffer> {
    if (length > smallBytesMax) return readBlocks(handle, offset, length)
    return new Promise((resolve, reject) => {
      const read = { offset, length, resolve, reject }
      const waiting = this.#waiting.get(handle)
      if (waiting !== undefined) {
        waiting.push(read)
        return
      }
      this.#waiting.set(handle, [read])
      if (this.#waiting.size === 1) queueMicrotask(() => this.#flush())
    })
  }

  #flush(): void {
    for (const [handle, reads] of this.#waiting) {
      if (reads.length > 1) reads.sort((a, b) => a.offset - b.offset)
      for (const run of runsOf(reads)) void readRun(handle, run)
    }
    this.#waiting.clear()
  }
}

/** Settles every read of the run, so it never rejects itself. */
async function readRun(handle: DeviceSegment, run: readonly WaitingRead[]): Promise<void> {
  const start = (run[0] as WaitingRead).offset
  try {
    const bytes = await readBlocks(handle, start, endOf(run) - start)
    for (const { offset, length, resolve } of run) {
      resolve(bytes.subarray(offset - start, offset - start + length))
    }
  } catch (thrown) {
    // A bad sector is the trouble of whoever asked for it: the others are read alone.
    if (run.length === 1) run[0]?.reject(thrown)
    else for (const read of run) void readRun(handle, [read])
  }
}

/** Ascending reads, cut where they lie too far apart or grow too large. */
function* runsOf(reads: readonly WaitingRead[]): Generator<readonly WaitingRead[]> {
  let run: WaitingRead[] = []
  let end = 0
  for (const read of reads) {
    const first = run[0]
    const fits =
      first !== undefined &&
      read.offset - end <= gapBytesMax &&
      read.offset + read.length - first.offset <= mergedBytesMax
    if (!fits && first !== undefined) {
      yield run
      run = []
      end = 0
    }
    run.push(read)
    end = Math.max(end, read.offset + read.length)
  }
  if (run.length > 0) yield run
}

function endOf(run: readonly WaitingRead[]): number {
  return run.reduce((end, { offset, length }) => Math.max(end, offset + length), 0)
}
