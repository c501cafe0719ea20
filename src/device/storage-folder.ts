/** Makes the folder that a device lives in, and says in one sentence why it cannot. */
import * as fs from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { messageOf, systemCodeOf } from '../base/errors.ts'
import { makeFolders } from '../base/make-folders.ts'
import { StoragePathError } from './errors.ts'
import { syncFolder } from './file-calls.ts'

const folderMode = 0o700

/**
 * Makes `path` and its parents where missing, each synced into the folder above it.
 * @throws StoragePathError
 */
export async function makeStorageFolder(path: string): Promise<void> {
  try {
    const first = await makeFolders(path, folderMode)
    if (first !== undefined) await syncParents(resolve(path), dirname(resolve(first)))
    else await syncParent(resolve(path))
    await fs.access(path, fs.constants.R_OK | fs.constants.W_OK | fs.constants.X_OK)
  } catch (error) {
    throw explainStoragePath(path, error)
  }
}

/**
 * Passes a folder that can be read.
 * @throws StoragePathError
 */
export async function findStorageFolder(path: string): Promise<void> {
  try {
    await fs.readdir(path)
  } catch (error) {
    if (systemCodeOf(error) !== 'ENOENT') throw explainStoragePath(path, error)
    throw new StoragePathError(`there is no volume: ${path} does not exist`, {
      hint: 'Name the folder of the volume with --storage.',
      facts: { path, code: 'ENOENT' },
      cause: error,
    })
  }
}

/** Syncs every folder from the parent of `path` up to and including `top`. */
async function syncParents(path: string, top: string): Promise<void> {
  let folder = dirname(path)
  while (folder.startsWith(top)) {
    await syncFolder(folder)
    if (folder === top) return
    folder = dirname(folder)
  }
}

/** For a folder that an earlier process made and may have been killed before it synced the name. */
async function syncParent(path: string): Promise<void> {
  try {
    await syncFolder(dirname(path))
  } catch (error) {
    // A parent that we may not read was not made by us.
    if (systemCodeOf(error) !== 'EACCES') throw error
  }
}

/** What kept `path` from being used, as a sentence. */
export function explainStoragePath(path: string, cause: unknown): StoragePathError {
  const code = systemCodeOf(cause)
  const options = { cause, facts: { path, code } }
  if (code === 'EACCES' || code === 'EPERM') {
    return new StoragePathError(`no permission to use ${path} for storage`, {
      ...options,
      hint: 'Give this user read and write permission there, or name another storage path.',
    })
  }
  if (code === 'EROFS') {
    return new StoragePathError(`${path} is on a file system mounted read-only`, options)
  }
  if (code === 'ENOTDIR' || code === 'EEXIST') {
    return new StoragePathError(`${path} cannot be a folder: something else is in its way`, options)
  }
  return new StoragePathError(`${path} cannot be used for storage: ${messageOf(cause)}`, options)
}
