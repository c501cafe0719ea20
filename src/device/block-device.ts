/** What Node does not ask the system about block devices. */
import * as fs from 'node:fs/promises'
import { readAt } from './file-calls.ts'

const blockBytes = 4096
const sectorBytes = 512

/** How long a block device is: no call of Node's tells, so the end is looked for by reading. */
export async function deviceSize(fd: number): Promise<number> {
  const probe = Buffer.alloc(blockBytes)
  const readable = async (position: number): Promise<number> => readAt(fd, probe, position)
  let high = 1
  while ((await readable(high * blockBytes)) > 0) high *= 2
  let low = 0
  while (low < high) {
    const middle = Math.floor((low + high) / 2)
    if ((await readable(middle * blockBytes)) === blockBytes) low = middle + 1
    else high = middle
  }
  const rest = await readable(low * blockBytes)
  return low * blockBytes + (rest - (rest % sectorBytes))
}

/** Where the file system of a block device is mounted, as far as it can be seen. */
export async function mountPointOf(path: string): Promise<string | undefined> {
  const real = await fs.realpath(path)
  // Absent on other systems: then nothing is known.
  const mounts = await fs.readFile('/proc/self/mounts', 'utf8').catch(() => '')
  const line = mounts.split('\n').find((text) => text.startsWith(`${real} `))
  return line?.split(' ')[1]
}
