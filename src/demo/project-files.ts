import { readdir, stat } from 'node:fs/promises'
import { join, relative, sep } from 'node:path'

export interface ProjectFile {
  readonly path: string
  /** Relative to the root, with slashes. */
  readonly key: string
  readonly size: number
}

const foldersSkipped: ReadonlySet<string> = new Set([
  ...['node_modules', 'dist', '.git', 'coverage', 'comio-data'],
])
const filesMax = 2000
const fileBytesMax = 16 * 2 ** 20

/** The project's own files, in the order of their names: at most 2000, none above 16 MiB. */
export async function findProjectFiles(root: string): Promise<readonly ProjectFile[]> {
  const entries = await readdir(root, { withFileTypes: true })
  const found: ProjectFile[] = []
  for (const entry of entries.toSorted((a, b) => (a.name < b.name ? -1 : 1))) {
    const path = join(root, entry.name)
    if (entry.isDirectory() && !isSkipped(entry.name)) {
      for (const file of await findProjectFiles(path)) {
        found.push({ ...file, key: `${entry.name}/${file.key}` })
      }
    } else if (entry.isFile()) {
      const { size } = await stat(path)
      const key = relative(root, path).replaceAll(sep, '/')
      if (size <= fileBytesMax) found.push({ path, key, size })
    }
    if (found.length >= filesMax) break
  }
  return found.slice(0, filesMax)
}

/** Also the folders that a build in another terminal is just making. */
function isSkipped(name: string): boolean {
  return foldersSkipped.has(name) || name.startsWith('.build-')
}
