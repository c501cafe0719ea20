/**
 * The few file system calls of the data path as promises over raw descriptors: `FileHandle` costs
 * about twice as much per call, and its garbage collection closes files behind one's back.
 */
import * as fs from 'node:fs'

/** Resolves to the bytes written, which may be fewer than given. */
export function writeAt(
  fd: number,
  buffers: readonly Uint8Array[],
  position: number,
): Promise<number> {
  return new Promise((resolve, reject) => {
    const done = (error: Error | null, written: number): void => {
      if (error === null) resolve(written)
      else reject(error)
    }
    const only = buffers[0]
    if (buffers.length === 1 && only !== undefined) {
      fs.write(fd, only, 0, only.length, position, done)
    } else {
      // The declaration asks for a mutable array that the call does not change.
      fs.writev(fd, buffers as Uint8Array[], position, done)
    }
  })
}

/** Fills `target`; resolves to the bytes read, fewer only at the end of the file. */
export async function readAt(fd: number, target: Uint8Array, position: number): Promise<number> {
  let filled = await readOnce(fd, target, position)
  while (filled < target.length) {
    const more = await readOnce(fd, target.subarray(filled), position + filled)
    if (more === 0) break
    filled += more
  }
  return filled
}

/** What this process has had to fetch from disks so far, of whichever file: the system's own count. */
export function diskReads(): number {
  return process.resourceUsage().fsRead
}

/** As {@link readAt}, while everything else in this thread waits: for what needs no disk. */
export function readAtNow(fd: number, target: Uint8Array, position: number): number {
  let filled = 0
  while (filled < target.length) {
    const more = fs.readSync(fd, target, filled, target.length - filled, position + filled)
    if (more === 0) break
    filled += more
  }
  return filled
}

function readOnce(fd: number, target: Uint8Array, position: number): Promise<number> {
  return new Promise((resolve, reject) => {
    fs.read(fd, target, 0, target.length, position, (error, count) => {
      if (error === null) resolve(count)
      else reject(error)
    })
  })
}

/** Cuts or lengthens the file, with zeros that take no space; durable when resolved. */
export async function setSize(fd: number, size: number): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    fs.ftruncate(fd, size, (error) => (error === null ? resolve() : reject(error)))
  })
  await syncAll(fd)
}

/** Makes the file's bytes (and its length, but no timestamps) durable. */
export function syncData(fd: number): Promise<void> {
  return new Promise((resolve, reject) => {
    fs.fdatasync(fd, (error) => (error === null ? resolve() : reject(error)))
  })
}

/** Makes everything about the file durable; on a folder, its names. */
export function syncAll(fd: number): Promise<void> {
  return new Promise((resolve, reject) => {
    fs.fsync(fd, (error) => (error === null ? resolve() : reject(error)))
  })
}

export function openFile(path: string, flags: string | number, mode?: number): Promise<number> {
  return new Promise((resolve, reject) => {
    fs.open(path, flags, mode, (error, fd) => (error === null ? resolve(fd) : reject(error)))
  })
}

export function closeFile(fd: number): Promise<void> {
  return new Promise((resolve, reject) => {
    fs.close(fd, (error) => (error ? reject(error) : resolve()))
  })
}

/** Opens, does, closes: the file is closed however `work` ends. */
export async function withFile<T>(
  opened: Promise<number>,
  work: (fd: number) => Promise<T>,
): Promise<T> {
  const fd = await opened
  try {
    return await work(fd)
  } finally {
    await closeFile(fd)
  }
}

/** Makes the names in a folder durable. */
export function syncFolder(path: string): Promise<void> {
  return withFile(openFile(path, 'r'), syncAll)
}
