import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

/** Turns a bit over, on the disk, in the first place under `folder` that holds `what`. */
export async function spoil(folder: string, what: Buffer): Promise<void> {
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue
    const path = join(entry.parentPath, entry.name)
    // The store is running: a file that is about to be renamed, or freed, may be gone by now.
    const bytes = await readFile(path).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return Buffer.alloc(0)
      throw error
    })
    const at = bytes.indexOf(what)
    if (at === -1) continue
    bytes[at] = (bytes[at] ?? 0) ^ 1
    await writeFile(path, bytes, { flag: 'r+' })
    return
  }
  throw new Error('the bytes are nowhere')
}

/** Turns a bit over in a record, on the disk: in its label, unless told where, so that its header does not check out. */
export async function spoilAt(
  volume: string,
  { segment, offset }: { readonly segment: number; readonly offset: number },
  inRecord = 24,
): Promise<void> {
  const path = join(volume, 'segments', `${segment.toString(16).padStart(8, '0')}.seg`)
  const bytes = await readFile(path)
  const at = offset + inRecord
  bytes[at] = (bytes[at] ?? 0) ^ 1
  await writeFile(path, bytes, { flag: 'r+' })
}
