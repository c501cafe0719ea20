import { mkdir, rmdir, stat } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { systemCodeOf } from './errors.ts'

/** Deeper paths than this are refused by every system before. */
const depthMax = 4096

/**
 * Makes `path` and its parents where missing, from the top down; resolves to the topmost that was
 * made, undefined when all were there. Node's own recursive mkdir never ends where a file system
 * answers ENOENT for a folder whose parent exists, as /proc does.
 *
 * @throws the system's error; ENOTDIR or EEXIST when something else is in the way
 */
export async function makeFolders(path: string, mode: number): Promise<string | undefined> {
  const missing = await missingFolders(path)
  let first: string | undefined
  for (const folder of missing.toReversed()) {
    if (await make(folder, mode)) first ??= folder
  }
  return first
}

/** `path` and its parents as far as they are not there, from the bottom up. */
export async function missingFolders(path: string): Promise<readonly string[]> {
  const missing: string[] = []
  for (let at = resolve(path); !(await isFolder(at)); at = dirname(at)) {
    missing.push(at)
    if (at === dirname(at) || missing.length > depthMax) break
  }
  return missing
}

/** What {@link missingFolders} found, once it was made in vain: up to the first that is not empty. */
export async function removeEmptyFolders(folders: readonly string[]): Promise<void> {
  for (const folder of folders) {
    try {
      await rmdir(folder)
    } catch (error) {
      // Those below it may not have been made.
      if (systemCodeOf(error) !== 'ENOENT') return
    }
  }
}

/** False when somebody else made it meanwhile. */
async function make(folder: string, mode: number): Promise<boolean> {
  try {
    await mkdir(folder, { mode })
    return true
  } catch (error) {
    if (systemCodeOf(error) === 'EEXIST' && (await isFolder(folder))) return false
    throw error
  }
}

async function isFolder(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory()
  } catch (error) {
    const code = systemCodeOf(error)
    // Something above is missing, or no folder: making it says which.
    if (code === 'ENOENT' || code === 'ENOTDIR') return false
    throw error
  }
}
