/** A small disk of its own for a test, and somebody else who fills it. */
import { spawnSync } from 'node:child_process'
import * as fs from 'node:fs/promises'
import { join } from 'node:path'
import { systemCodeOf } from '../src/base/errors.ts'

/** Mounting needs root. @returns the reason when this machine does not do it */
export function mountSmallDisk(path: string, bytes: number): string | undefined {
  const args = ['-t', 'tmpfs', '-o', `size=${bytes}`, 'tmpfs', path]
  const { status, stderr, error } = spawnSync('mount', args)
  return status === 0 ? undefined : `mount: ${error?.message ?? stderr.toString().trim()}`
}

export function unmountSmallDisk(path: string): void {
  spawnSync('umount', ['-l', path])
}

/** Takes every byte that a disk has left. @returns what gives them back */
export async function takeTheRest(folder: string): Promise<() => Promise<void>> {
  const path = join(folder, 'somebody-else')
  const file = await fs.open(path, 'a')
  try {
    for (const size of [2 ** 20, 4096, 1]) await writeUntilFull(file, Buffer.alloc(size, 1))
  } finally {
    await file.close()
  }
  return () => fs.rm(path)
}

async function writeUntilFull(file: fs.FileHandle, bytes: Buffer): Promise<void> {
  for (;;) {
    try {
      const { bytesWritten } = await file.write(bytes)
      if (bytesWritten < bytes.length) return
    } catch (thrown) {
      if (systemCodeOf(thrown) !== 'ENOSPC') throw thrown
      return
    }
  }
}
