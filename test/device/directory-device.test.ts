import { execFile } from 'node:child_process'
import * as fs from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { DirectoryDevice } from '../../src/device/directory-device.ts'
import { DirectorySegment } from '../../src/device/directory-segment.ts'
import { ShortWriteError, StoragePathError } from '../../src/device/errors.ts'
import { openFile } from '../../src/device/file-calls.ts'
import { describeDevice } from './device-contract.ts'

const newFolder = (): Promise<string> => fs.mkdtemp(join(tmpdir(), 'comio-device-'))
const removeFolder = (path: string): Promise<void> => fs.rm(path, { recursive: true })

describeDevice('DirectoryDevice', async () => {
  const folder = await newFolder()
  return {
    open: () => DirectoryDevice.open(join(folder, 'volume')),
    remove: () => removeFolder(folder),
  }
})

describe('DirectoryDevice: its folder', () => {
  let folder: string

  beforeEach(async () => {
    folder = await newFolder()
  })
  afterEach(() => removeFolder(folder))

  it('makes the folder and its parents, for the owner alone', async () => {
    const path = join(folder, 'a', 'b', 'c')
    const device = await DirectoryDevice.open(path)
    const segment = await device.create(10, 4096)
    await segment.close()
    await device.writeSuperblock(Buffer.from('x'))
    await device.close()
    expect(await modeOf(join(folder, 'a'))).toBe(0o700)
    expect(await modeOf(path)).toBe(0o700)
    expect(await modeOf(join(path, 'segments'))).toBe(0o700)
    expect(await modeOf(join(path, 'superblock'))).toBe(0o600)
    expect(await modeOf(join(path, 'segments', '0000000a.seg'))).toBe(0o600)
  })

  it('ends where no folder can be made although its parent is there', async () => {
    // Node's own recursive mkdir would try for ever.
    await expect(DirectoryDevice.open('/proc/comio/a')).rejects.toThrow(StoragePathError)
  })

  it('writes zeros ahead: the space of a new segment is really taken', async () => {
    const device = await DirectoryDevice.open(folder)
    const segment = await device.create(0, 2 ** 20 + 4096)
    const { blocks, size } = await fs.stat(join(folder, 'segments', '00000000.seg'))
    expect(size).toBe(2 ** 20 + 4096)
    expect(blocks * 512).toBeGreaterThanOrEqual(size)
    await segment.close()
    await device.close()
  })

  it('leaves some of the disk to the index, which cannot be opened without', async () => {
    const device = await DirectoryDevice.open(folder)
    const { bavail, bsize } = await fs.statfs(folder)
    const left = bavail * bsize - (await device.freeBytes())
    expect(left).toBeGreaterThanOrEqual(Math.min(bavail * bsize, 16 * 2 ** 20))
    await device.close()
  })

  it('removes what a crash left half made, and nothing else', async () => {
    const before = await DirectoryDevice.open(folder)
    await (await before.create(1, 4096)).close()
    await before.close()
    await fs.writeFile(join(folder, 'segments', '00000002.seg.tmp'), 'half')
    await fs.writeFile(join(folder, 'superblock.tmp'), 'half')
    await fs.writeFile(join(folder, 'segments', 'notes.txt'), 'mine')
    const device = await DirectoryDevice.open(folder)
    expect(await device.list()).toEqual([1])
    await (await device.create(2, 4096)).close()
    expect((await fs.readdir(join(folder, 'segments'))).sort()).toEqual([
      '00000001.seg',
      '00000002.seg',
      'notes.txt',
    ])
    expect(await fs.readdir(folder)).toEqual(['segments'])
    await device.close()
  })

  it('leaves what another process is just making alone until it changes something itself', async () => {
    const path = join(folder, 'segments')
    await fs.mkdir(path)
    await fs.writeFile(join(path, '00000002.seg.tmp'), 'on its way')
    const device = await DirectoryDevice.open(folder)
    await device.readSuperblock()
    await device.list()
    expect(await fs.readdir(path)).toEqual(['00000002.seg.tmp'])
    await device.close()
  })

  it('refuses a file as storage path by name', async () => {
    const path = join(folder, 'file')
    await fs.writeFile(path, '')
    await expect(DirectoryDevice.open(path)).rejects.toThrow(/cannot be a folder/)
  })

  it('says so when something is in the way of the storage path', async () => {
    const path = join(folder, 'file')
    await fs.writeFile(path, '')
    await expect(DirectoryDevice.open(join(path, 'below'))).rejects.toThrow(StoragePathError)
  })

  it.skipIf(process.getuid?.() === 0)('says so when permission is missing', async () => {
    const path = join(folder, 'closed')
    await fs.mkdir(path, { mode: 0o500 })
    await expect(DirectoryDevice.open(join(path, 'below'))).rejects.toThrow(/no permission/)
  })
})

describe('DirectorySegment: a disk that fails', () => {
  it.skipIf(process.platform !== 'linux')('passes the error of the system on', async () => {
    const fd = await openFile('/dev/full', 'r+')
    const segment = new DirectorySegment({ path: '/dev/full', fd, size: 4096, written: 4096 })
    await expect(segment.write([Buffer.alloc(10)], 0)).rejects.toThrow(/ENOSPC/)
    await segment.close()
  })

  it.skipIf(process.platform !== 'linux')(
    'names the limit that a segment made ahead runs into, not the short write before it',
    async () => {
      const folder = await newFolder()
      const module = new URL('../../src/device/directory-device.ts', import.meta.url)
      const program = `const { DirectoryDevice } = await import('${module}')
        const device = await DirectoryDevice.open('${folder}')
        const failure = await device.create(0, 4 * 2 ** 20).catch((error) => error)
        process.stdout.write(failure.code + ' ' + (await device.list()).length)`
      // 1.5 MiB: the second piece of zeros is taken in part.
      const limited = ['-c', 'ulimit -f 1536; exec "$0" --input-type=module -e "$1"']
      const { stdout } = await promisify(execFile)('bash', [...limited, process.execPath, program])
      await removeFolder(folder)
      expect(stdout).toBe('EFBIG 0')
    },
  )

  it.skipIf(process.platform !== 'linux')(
    'names the limit that a write without space of its own runs into, not the short write before it',
    async () => {
      const folder = await newFolder()
      const module = new URL('../../src/device/directory-segment.ts', import.meta.url)
      const program = `const { DirectorySegment } = await import('${module}')
        const { openSync } = await import('node:fs')
        const path = '${join(folder, 'growing')}'
        const size = 4 * 2 ** 20
        const segment = new DirectorySegment({ path, fd: openSync(path, 'w+'), size, written: 0 })
        const piece = Buffer.alloc(2 ** 20)
        const failure = await segment.write([piece, piece], 0).catch((error) => error)
        process.stdout.write(failure.code + ' ' + (segment.unwritten === size))`
      const limited = ['-c', 'ulimit -f 1536; exec "$0" --input-type=module -e "$1"']
      const { stdout } = await promisify(execFile)('bash', [...limited, process.execPath, program])
      await removeFolder(folder)
      expect(stdout).toBe('EFBIG true')
    },
  )

  it('names a short write', () => {
    const facts = { device: 'disk', position: 0, wanted: 10, written: 3 }
    const error = new ShortWriteError(facts)
    expect(error.message).toContain('3 of 10 bytes')
    expect(error.facts).toEqual(facts)
  })
})

async function modeOf(path: string): Promise<number> {
  return (await fs.stat(path)).mode & 0o777
}
