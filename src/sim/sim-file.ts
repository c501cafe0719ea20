/**
 * One segment on a simulated disk. Reads see every finished write; the platter has what was synced.
 * What lies between is unsynced, and a crash decides for each such write, by sectors, what became of
 * it: nothing, all, a beginning, or any part. So is a trim: a crash may bring the old size back.
 */
import type { Chance } from './chance.ts'

/** Smaller than a volume's block, so that blocks tear. */
const sectorBytes = 512

interface UnsyncedWrite {
  readonly offset: number
  readonly bytes: Buffer
}

export class SimFile {
  #platter: Buffer
  #cache: Buffer
  #unsynced: UnsyncedWrite[] = []

  constructor(size: number) {
    this.#platter = Buffer.alloc(size)
    this.#cache = Buffer.alloc(size)
  }

  get size(): number {
    return this.#cache.length
  }

  read(target: Uint8Array, position: number): number {
    const count = Math.max(0, Math.min(target.length, this.size - position))
    target.set(this.#cache.subarray(position, position + count))
    return count
  }

  /** The write has reached the system. */
  write(bytes: Buffer, offset: number): void {
    bytes.copy(this.#cache, offset)
    this.#unsynced.push({ offset, bytes })
  }

  /** A write that failed, or that a crash cut off, got so far. */
  writePartly(bytes: Buffer, offset: number, chance: Chance): void {
    for (const piece of survivors(bytes, chance)) {
      this.write(bytes.subarray(piece.start, piece.end), offset + piece.start)
    }
  }

  /** Begins a sync: returns what ends it. What is written meanwhile is not part of it. */
  beginSync(): { readonly succeed: () => void; readonly fail: (chance: Chance) => void } {
    const covered = new Set(this.#unsynced)
    const { size } = this
    const settle = (put: (write: UnsyncedWrite) => void): void => {
      for (const write of this.#unsynced) if (covered.has(write)) put(write)
      this.#unsynced = this.#unsynced.filter((write) => !covered.has(write))
    }
    return {
      succeed: () => {
        settle((write) => write.bytes.copy(this.#platter, write.offset))
        this.#cutPlatter(size)
      },
      // What could not be written counts as clean, and no later sync tries again. It is dropped from
      // the cache, as XFS and Btrfs do it. (Ext4 keeps it readable: a process that is started after
      // that, reads it and syncs without an error cannot know that it is not on the disk.)
      fail: (chance) => {
        settle((write) => this.#land(write, chance))
        this.#cache = Buffer.from(this.#platter.subarray(0, this.size))
        for (const { bytes, offset } of this.#unsynced) bytes.copy(this.#cache, offset)
      },
    }
  }

  /** Of the platter the end follows with the next sync. */
  trim(size: number): void {
    this.#cache = Buffer.from(this.#cache.subarray(0, size))
    this.#unsynced = this.#unsynced
      .filter(({ offset }) => offset < size)
      .map(({ offset, bytes }) => ({ offset, bytes: bytes.subarray(0, size - offset) }))
  }

  /** The power fails: the cache is gone, and each unsynced write got as far as it got. */
  crash(chance: Chance): void {
    for (const write of this.#unsynced) this.#land(write, chance)
    this.#unsynced = []
    if (this.#platter.length > this.size && chance.hits(0.5)) this.#cutPlatter(this.size)
    this.#cache = Buffer.from(this.#platter)
  }

  /** Turns one bit over, on the platter and in the cache. */
  rot(offset: number, bit: number): void {
    for (const bytes of [this.#platter, this.#cache]) {
      bytes[offset] = (bytes[offset] ?? 0) ^ (1 << bit)
    }
  }

  #cutPlatter(size: number): void {
    if (this.#platter.length > size) this.#platter = Buffer.from(this.#platter.subarray(0, size))
  }

  #land({ offset, bytes }: UnsyncedWrite, chance: Chance): void {
    for (const { start, end } of survivors(bytes, chance)) {
      bytes.copy(this.#platter, offset + start, start, end)
    }
  }
}

function survivors(
  bytes: Buffer,
  chance: Chance,
): readonly { readonly start: number; readonly end: number }[] {
  const whole = bytes.length
  switch (chance.pick(['none', 'all', 'prefix', 'some'] as const)) {
    case 'none':
      return []
    case 'all':
      return [{ start: 0, end: whole }]
    case 'prefix':
      return [{ start: 0, end: chance.below(Math.ceil(whole / sectorBytes)) * sectorBytes }]
    case 'some': {
      const sectors: { start: number; end: number }[] = []
      for (let start = 0; start < whole; start += sectorBytes) {
        if (chance.hits(0.5)) sectors.push({ start, end: Math.min(whole, start + sectorBytes) })
      }
      return sectors
    }
  }
}
