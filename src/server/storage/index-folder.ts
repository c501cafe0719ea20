/** Moves the folder of an index out of the way, and back. The last one put aside is kept. */
import { rename, rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import { systemCodeOf } from '../../base/errors.ts'
import { syncFolder } from '../../device/file-calls.ts'

export const asideOf = (path: string): string => `${path}.aside`

/** @returns whether there was one */
export async function moveAside(path: string): Promise<boolean> {
  await rm(asideOf(path), { recursive: true, force: true })
  return await renameIfThere(path, asideOf(path))
}

/** A new one does not open either: the fault is not in the old one. */
export async function moveBack(path: string): Promise<undefined> {
  await rm(path, { recursive: true, force: true })
  await renameIfThere(asideOf(path), path)
  return undefined
}

/**
 * Puts a finished index in the place of the old one, which goes aside. After a crash in between there
 * is none, and the next start of the site builds it.
 * @returns whether there was an old one
 */
export async function replaceIndex(path: string, fresh: string): Promise<boolean> {
  const hadOld = await moveAside(path)
  await rename(fresh, path)
  await syncFolder(dirname(path))
  return hadOld
}

async function renameIfThere(from: string, to: string): Promise<boolean> {
  try {
    await rename(from, to)
    return true
  } catch (error) {
    if (systemCodeOf(error) === 'ENOENT') return false
    throw error
  }
}
