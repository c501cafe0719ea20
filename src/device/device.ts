/**
 * Where a volume keeps its segments. A device promises: bytes written and synced are there after a
 * crash; a created or removed segment stays so once the call has returned; a short write is an
 * error. It must never know what the bytes mean: no records, no checksums, no generations.
 *
 * This is the seam that the simulation and the fault tests replace.
 */

export interface Device {
  /** For messages: the path, or the simulated disk's name. */
  readonly name: string
  /** What every segment takes, however much is trimmed off; undefined where a trim gives space back. */
  readonly slotBytes?: number
  /** The superblock, or undefined on a device that was never initialised. At most 4 KiB. */
  readSuperblock(): Promise<Uint8Array | undefined>
  /** Replaces the superblock atomically; durable when resolved. */
  writeSuperblock(bytes: Uint8Array): Promise<void>
  /** The slots that hold a segment, ascending. */
  list(): Promise<readonly number[]>
  /**
   * Makes a segment of `size` bytes that reads as zeros. (Once there was a crash, what lies behind its
   * first block and was never written may read as anything.) Its space is written ahead, so that syncing
   * later writes does not drag file growth along, unless `ahead` is false: then it only counts as
   * taken, and a write may find the disk full. Durable when resolved. The slot must be empty.
   */
  create(slot: number, size: number, options?: { readonly ahead: boolean }): Promise<DeviceSegment>
  open(slot: number): Promise<DeviceSegment>
  /** Gives a segment's space back; durable when resolved. Removing an empty slot does nothing. */
  remove(slot: number): Promise<void>
  /** Bytes that could still be given to segments, beyond those that already were. */
  freeBytes(): Promise<number>
  /** Where the bytes of a slot's segment lie; absent where nothing else could read them there. */
  placeOf?(slot: number): SegmentPlace
  /** Rises whenever this process has had to read from a disk; absent where nobody counts. */
  diskReads?(): number
  close(): Promise<void>
}

/** For whoever reads a segment beside the device: a file or a block device, and where it begins there. */
export interface SegmentPlace {
  readonly path: string
  readonly at: number
}

export interface DeviceSegment {
  /** Bytes; falls when trimmed. */
  readonly size: number
  /**
   * Writes all of `buffers` one after the other from `position` with one call to the system.
   * @throws ShortWriteError when fewer bytes were written, or the system's error
   */
  write(buffers: readonly Uint8Array[], position: number): Promise<void>
  /**
   * As `write`, and durable when resolved, in one call to the system where there is one. Of what was
   * written before it says nothing.
   */
  writeSynced(buffers: readonly Uint8Array[], position: number): Promise<void>
  /** Fills `target` from `position`; resolves to the bytes read, fewer only at the end. */
  read(target: Uint8Array, position: number): Promise<number>
  /**
   * As `read`, in the calling thread: for what the system most likely has in memory. Undefined, and
   * absent, where that cannot be done.
   */
  readNow?(target: Uint8Array, position: number): number | undefined
  /** Everything written so far is durable when resolved. After a failure nothing is known. */
  sync(): Promise<void>
  /** Ends the segment at `size`, in whole blocks, and gives back what lies beyond if it can. */
  trim(size: number): Promise<void>
  /** Must not be called while a read or write is under way. */
  close(): Promise<void>
}
