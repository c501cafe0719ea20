/**
 * A second view of an index, to read it without changing it: LevelDB writes as soon as it is opened. Of an
 * index that is not in use ({@link copyIndexFiles}), and of one that takes no writes while it is opened anew
 * ({@link linkIndexFiles}). Tables never change once written, so the view only points to them.
 */
import { copyFile, link, mkdir, readdir, rm, stat, symlink } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { systemCodeOf } from '../base/errors.ts'
import { IndexViewError } from './errors.ts'

const tableFile = /^\d+\.(?:ldb|sst)$/
const logFile = /^\d+\.log$/
const copiedFile = /^(?:CURRENT|MANIFEST-\d+|\d+\.log)$/

/**
 * Of an index that nobody has open: what LevelDB goes on writing (log and manifest) is copied, so that
 * opening the view changes nothing of it.
 *
 * @param to a folder that does not exist yet
 * @returns false when there is no index at `from`
 */
export async function copyIndexFiles(from: string, to: string): Promise<boolean> {
  const names = await namesIn(from)
  if (!names.includes('CURRENT')) return false
  await mkdir(to, { mode: 0o700 })
  for (const name of names) {
    const source = resolve(from, name)
    if (tableFile.test(name)) await symlink(source, join(to, name))
    else if (copiedFile.test(name)) await copyFile(source, join(to, name))
  }
  return true
}

/** Gives a file a second name, as `link` does. */
export type LinkFile = (existing: string, name: string) => Promise<void>

/** What is copied where files cannot have a second name: it takes room, and time in which nothing is written. */
const copiedBytesMax = 256 * 2 ** 20

/**
 * The same of an index that is open and is written no more, on the same disk: its files are given a second
 * name, so that they outlive what the index does to them when it is opened again. They are copied where the
 * file system has no second names.
 *
 * @param to a folder that does not exist yet, and does not exist when this fails
 * @throws IndexViewError when they are too large to be copied
 */
export async function linkIndexFiles(
  from: string,
  to: string,
  { linkFile = link, copyMax = copiedBytesMax }: { linkFile?: LinkFile; copyMax?: number } = {},
): Promise<void> {
  await mkdir(to, { mode: 0o700 })
  try {
    let left = copyMax
    for (const name of await namesIn(from)) {
      const source = resolve(from, name)
      const target = join(to, name)
      const isLinked = tableFile.test(name) || logFile.test(name)
      if (isLinked && (await isLinkedAs(source, target, linkFile))) continue
      if (!isLinked && !copiedFile.test(name)) continue
      left -= (await stat(source)).size
      if (left < 0) throw new IndexViewError(from, copyMax)
      await copyFile(source, target)
    }
  } catch (thrown) {
    await rm(to, { recursive: true, force: true })
    throw thrown
  }
}

/** What file systems answer that have no second names, or none for this file. */
const unlinkable = ['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK', 'EXDEV']

async function isLinkedAs(source: string, target: string, linkFile: LinkFile): Promise<boolean> {
  try {
    await linkFile(source, target)
    return true
  } catch (thrown) {
    if (!unlinkable.includes(systemCodeOf(thrown) ?? '')) throw thrown
    return false
  }
}

/** Bytes of what LevelDB reads back into tables when it opens the index. */
export async function logBytesOf(path: string): Promise<number> {
  let bytes = 0
  for (const name of await namesIn(path)) {
    if (logFile.test(name)) bytes += (await stat(join(path, name))).size
  }
  return bytes
}

async function namesIn(path: string): Promise<readonly string[]> {
  try {
    return await readdir(path)
  } catch (error) {
    const code = systemCodeOf(error)
    if (code === 'ENOENT' || code === 'ENOTDIR') return []
    throw error
  }
}
