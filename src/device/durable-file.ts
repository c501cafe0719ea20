/** Small files that are replaced as a whole: after a crash there is the old one or the new one. */
import * as fs from 'node:fs/promises'
import { dirname } from 'node:path'
import { systemCodeOf } from '../base/errors.ts'
import { syncFolder } from './file-calls.ts'

/** Undefined when there is none. */
export async function readSmallFile(path: string): Promise<string | undefined> {
  try {
    return await fs.readFile(path, 'utf8')
  } catch (error) {
    if (systemCodeOf(error) === 'ENOENT') return undefined
    throw error
  }
}

/** Durable once resolved. One writer at a time. */
export async function replaceSmallFile(path: string, text: string): Promise<void> {
  const temporary = `${path}.tmp`
  const file = await fs.open(temporary, 'w', 0o600)
  try {
    await file.writeFile(text)
    await file.sync()
  } finally {
    await file.close()
  }
  await fs.rename(temporary, path)
  await syncFolder(dirname(path))
}
