/** Whether a folder may become, or already is, the home of a volume; looked at before it is touched. */
import { readdir } from 'node:fs/promises'
import { basename, dirname, resolve } from 'node:path'
import { systemCodeOf } from '../../base/errors.ts'
import { segmentsFolder } from '../../device/directory-device.ts'
import { StoragePathError } from '../../device/errors.ts'
import { revokedTokensFile } from '../credentials/revoked-tokens.ts'
import { roleFile } from '../roles/role-keeper.ts'

/** What a volume, an index beside it, or a freshly made file system may have put there. */
const known = new Set([
  'superblock',
  'superblock.tmp',
  segmentsFolder,
  'lost+found',
  ...[revokedTokensFile, roleFile].flatMap((name) => [name, `${name}.tmp`]),
])

/**
 * Passes a volume, an empty folder, and a path where nothing is yet. What else is wrong with the
 * path is for the device to say.
 * @throws StoragePathError for a folder with other things in it
 */
export async function checkStoragePath(path: string, indexPath: string): Promise<void> {
  const names = await namesIn(path)
  if (names.includes('superblock')) return
  const indexName = dirname(resolve(indexPath)) === resolve(path) ? basename(indexPath) : undefined
  const foreign = names.find((name) => !known.has(name) && name !== indexName)
  if (foreign === undefined) return
  throw new StoragePathError(`${path} is no ComIO volume, and it is not empty`, {
    hint: 'Name an empty folder, or one that does not exist yet, with --storage.',
    facts: { path, found: foreign },
  })
}

/** What LevelDB calls its files, and what lies beside them while the index is written. */
const indexFile =
  /^(?:CURRENT|LOCK|LOG|LOG\.old|MANIFEST-\d+|\d+\.(?:ldb|sst|log|dbtmp)|RESERVE|PROBE|view)$/

/**
 * Passes an index, an empty folder, and a path where nothing is yet: an index that does not open is
 * moved aside as a whole, and nothing of anybody else's may go with it.
 * @throws StoragePathError
 */
export async function checkIndexPath(path: string): Promise<void> {
  const names = await namesIn(path)
  const foreign = names.find((name) => !indexFile.test(name) && name !== 'lost+found')
  if (foreign === undefined) return
  throw new StoragePathError(`${path} is no index of ComIO, and it is not empty`, {
    hint: 'Name a folder for the index alone with server.index_path.',
    facts: { path, found: foreign },
  })
}

async function namesIn(path: string): Promise<readonly string[]> {
  try {
    return await readdir(path)
  } catch (error) {
    const code = systemCodeOf(error)
    // Absent, no folder, or not ours to read: the device makes it or explains.
    if (code === 'ENOENT' || code === 'ENOTDIR' || code === 'EACCES' || code === 'EPERM') return []
    throw error
  }
}
