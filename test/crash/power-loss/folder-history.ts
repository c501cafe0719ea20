/**
 * What a folder is on the platter, event by event, and what a power loss may leave of it. What was
 * synced is there. Of what was not, each write is there whole, in part or not at all, sector by sector,
 * whatever became of those before it. Names (files that are made, renamed, removed) reach the disk in
 * their order, as in the journal of ext4, XFS or Btrfs, and any sync takes those before it along.
 */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import type { Chance } from '../../../src/sim/chance.ts'
import type { DiskEvent } from './system-calls.ts'

const sectorBytes = 512

type Change =
  | { readonly kind: 'write'; readonly bytes: Buffer; readonly offset: number }
  | { readonly kind: 'truncate'; readonly size: number }

/** A file, whatever its names. */
interface Inode {
  durable: Buffer
  unsynced: Change[]
}

type Naming = (names: Map<string, Inode | 'folder'>) => void

interface OpenFile {
  readonly inode: Inode | undefined
  /** Where the next write goes that says nothing of it. */
  offset: number
  /** Opened with O_DSYNC: what is written is durable when the call has returned. */
  readonly isSynced: boolean
}

export class FolderHistory {
  readonly #root: string
  /** As the program sees it, and as it surely is on the disk. */
  readonly #names = new Map<string, Inode | 'folder'>()
  readonly #durableNames = new Map<string, Inode | 'folder'>()
  #namings: Naming[] = []
  readonly #open = new Map<number, OpenFile>()
  /** By thread: what is durable when its call has returned. */
  readonly #syncs = new Map<string, () => void>()

  /** @param root what is there is on the disk */
  constructor(root: string) {
    this.#root = root
    for (const entry of readdirSync(root, { withFileTypes: true, recursive: true })) {
      const path = join(entry.parentPath, entry.name)
      const inode = entry.isDirectory()
        ? ('folder' as const)
        : { durable: readFileSync(path), unsynced: [] }
      this.#names.set(relative(root, path), inode)
      this.#durableNames.set(relative(root, path), inode)
    }
  }

  apply(event: DiskEvent): void {
    switch (event.kind) {
      case 'open':
        this.#openFile(event)
        break
      case 'close':
        this.#open.delete(event.fd)
        break
      case 'write':
        this.#write(event)
        break
      case 'write-ends':
        this.#syncs.get(event.thread)?.()
        this.#syncs.delete(event.thread)
        break
      case 'truncate':
        this.#open.get(event.fd)?.inode?.unsynced.push(event)
        break
      case 'sync-begins':
        this.#syncs.set(event.thread, this.#beginSync(event.fd))
        break
      case 'sync-ends':
        this.#syncs.get(event.thread)?.()
        this.#syncs.delete(event.thread)
        break
      case 'rename':
        this.#rename(this.#inside(event.from), this.#inside(event.to))
        break
      case 'remove':
        this.#remove(this.#inside(event.path))
        break
      case 'make-folder':
        this.#make(this.#inside(event.path), 'folder')
        break
      case 'said':
        break
    }
  }

  /** How much would be decided by chance. */
  get undecided(): number {
    let count = this.#namings.length
    for (const inode of this.#names.values()) if (inode !== 'folder') count += inode.unsynced.length
    return count
  }

  /** Writes what is found after a power loss at this moment to another folder. */
  lose(chance: Chance, target: string): void {
    const names = new Map(this.#durableNames)
    const kept = chance.below(this.#namings.length + 1)
    for (const naming of this.#namings.slice(0, kept)) naming(names)
    for (const [path, inode] of names) {
      const at = join(target, path)
      mkdirSync(inode === 'folder' ? at : dirname(at), { recursive: true })
      if (inode !== 'folder') writeFileSync(at, remainsOf(inode, chance))
    }
  }

  #openFile({ fd, path, flags }: DiskEvent & { readonly kind: 'open' }): void {
    const name = this.#inside(path)
    if (name === undefined) {
      this.#open.set(fd, { inode: undefined, offset: 0, isSynced: false })
      return
    }
    let inode = this.#names.get(name)
    if (inode === undefined && flags.includes('O_CREAT')) {
      inode = { durable: Buffer.alloc(0), unsynced: [] }
      this.#make(name, inode)
    }
    if (inode === undefined || inode === 'folder') {
      this.#open.set(fd, { inode: undefined, offset: 0, isSynced: false })
      return
    }
    if (flags.includes('O_TRUNC')) inode.unsynced.push({ kind: 'truncate', size: 0 })
    const offset = flags.includes('O_APPEND') ? sizeOf(inode) : 0
    this.#open.set(fd, { inode, offset, isSynced: flags.includes('O_DSYNC') })
  }

  #write({ fd, bytes, offset, thread }: DiskEvent & { readonly kind: 'write' }): void {
    const open = this.#open.get(fd)
    if (open?.inode === undefined) return
    const { inode, isSynced } = open
    const change = { kind: 'write', bytes, offset: offset ?? open.offset } as const
    inode.unsynced.push(change)
    if (offset === undefined) open.offset += bytes.length
    if (isSynced) this.#syncs.set(thread, () => settle(inode, [change]))
  }

  #beginSync(fd: number): () => void {
    const inode = this.#open.get(fd)?.inode
    const covered = inode === undefined ? [] : [...inode.unsynced]
    const namings = [...this.#namings]
    return () => {
      for (const naming of namings) {
        if (this.#namings[0] !== naming) continue
        naming(this.#durableNames)
        this.#namings.shift()
      }
      if (inode !== undefined) settle(inode, covered)
    }
  }

  #make(name: string | undefined, inode: Inode | 'folder'): void {
    if (name === undefined) return
    this.#nameChanges((names) => names.set(name, inode))
  }

  #rename(from: string | undefined, to: string | undefined): void {
    if (from === undefined || to === undefined) return
    const inode = this.#names.get(from)
    if (inode === undefined) return
    this.#nameChanges((names) => {
      names.delete(from)
      names.set(to, inode)
    })
  }

  #remove(name: string | undefined): void {
    if (name === undefined || !this.#names.has(name)) return
    this.#nameChanges((names) => names.delete(name))
  }

  #nameChanges(naming: Naming): void {
    naming(this.#names)
    this.#namings.push(naming)
  }

  /** The path below the root; undefined outside. */
  #inside(path: string): string | undefined {
    const name = relative(this.#root, path)
    return name.startsWith('..') ? undefined : name
  }
}

/** These are on the disk for good. */
function settle(inode: Inode, changes: readonly Change[]): void {
  inode.durable = changes.reduce(applied, inode.durable)
  inode.unsynced = inode.unsynced.filter((change) => !changes.includes(change))
}

function sizeOf({ durable, unsynced }: Inode): number {
  let size = durable.length
  for (const change of unsynced) {
    if (change.kind === 'truncate') size = change.size
    else size = Math.max(size, change.offset + change.bytes.length)
  }
  return size
}

function applied(bytes: Buffer, change: Change): Buffer {
  if (change.kind === 'truncate') return resized(bytes, change.size)
  const end = change.offset + change.bytes.length
  const target = end > bytes.length ? resized(bytes, end) : Buffer.from(bytes)
  change.bytes.copy(target, change.offset)
  return target
}

function resized(bytes: Buffer, size: number): Buffer {
  const target = Buffer.alloc(size)
  bytes.copy(target, 0, 0, Math.min(size, bytes.length))
  return target
}

/** What of a file is on the disk. */
function remainsOf({ durable, unsynced }: Inode, chance: Chance): Buffer {
  let bytes = durable
  for (const change of unsynced) {
    for (const part of partsOf(change, chance)) bytes = applied(bytes, part)
  }
  return bytes
}

function partsOf(change: Change, chance: Chance): readonly Change[] {
  const fate = chance.pick(['none', 'all', 'prefix', 'some', 'zeros'] as const)
  if (fate === 'none') return []
  if (fate === 'all' || change.kind === 'truncate') return [change]
  const { bytes, offset } = change
  // The file has grown, and its bytes have not come.
  if (fate === 'zeros') return [{ ...change, bytes: Buffer.alloc(bytes.length) }]
  const sectors = Math.ceil(bytes.length / sectorBytes)
  const kept = chance.below(sectors + 1)
  const parts: Change[] = []
  for (let sector = 0; sector < sectors; sector++) {
    if (fate === 'prefix' ? sector >= kept : chance.hits(0.5)) continue
    const at = sector * sectorBytes
    parts.push({ kind: 'write', bytes: bytes.subarray(at, at + sectorBytes), offset: offset + at })
  }
  return parts
}
