import { execFileSync } from 'node:child_process'
import * as fs from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { systemClock } from '../../src/base/clock.ts'
import { type Logger, silentLogger } from '../../src/base/log.ts'
import { systemRandom } from '../../src/base/random.ts'
import {
  defaultIndexPath,
  type MakeDeviceOptions,
  openDevice,
} from '../../src/device/open-device.ts'

const mib = 2 ** 20

let folder: string
let path: string
let logged: string[]

beforeEach(async () => {
  folder = await fs.mkdtemp(join(tmpdir(), 'comio-open-'))
  path = join(folder, 'volume')
  logged = []
})
afterEach(() => fs.rm(folder, { recursive: true }))

function making(options: Partial<MakeDeviceOptions> = {}): MakeDeviceOptions {
  const say = (_: object, message: string): void => void logged.push(message)
  const logger: Logger = { ...silentLogger, info: say, warn: say }
  return { random: systemRandom, clock: systemClock, logger, ...options }
}

async function makeAndClose(options: Partial<MakeDeviceOptions>): Promise<void> {
  const { device } = await openDevice(path, making(options))
  await (await device.create(3, mib)).close()
  await device.close()
}

describe('openDevice', () => {
  it('makes a directory where nothing is, unless told otherwise; afterwards what is there decides', async () => {
    await makeAndClose({})
    expect((await openDevice(path, making({ type: 'file' }))).kind).toBe('directory')
    path = join(folder, 'a', 'file')
    await makeAndClose({ type: 'file', size: 16 * mib })
    const again = await openDevice(path, making({ type: 'directory' }))
    expect([again.kind, await again.device.list()]).toEqual(['file', [3]])
    await again.device.close()
  })

  it('makes nothing at the end of a link that leads nowhere, and says where it leads', async () => {
    const target = join(folder, 'unmounted')
    await fs.symlink(target, path)
    for (const make of [making(), making({ type: 'file', size: 16 * mib }), undefined]) {
      await expect(openDevice(path, make)).rejects.toMatchObject({
        code: 'STORAGE_PATH',
        message: `${path} is a link to ${target}, where nothing is`,
      })
    }
    expect(await fs.readdir(folder)).toEqual(['volume'])
  })

  it('writes the space of a file ahead, for its owner alone, and says so', async () => {
    const { device, segmentBytes, capacityBytes } = await openDevice(
      path,
      making({ type: 'file', size: 16 * mib }),
    )
    const { size, blocks, mode } = await fs.stat(path)
    expect([size, mode & 0o777]).toEqual([16 * mib, 0o600])
    expect(blocks * 512).toBeGreaterThanOrEqual(size)
    expect(segmentBytes).toBe(mib)
    expect(capacityBytes).toBe(14 * mib)
    expect(logged[0]).toMatch(/Making a volume on a file: its space is written ahead/)
    await device.close()
  })

  it('wants a size for a new file, room for it, and enough for a volume; else leaves nothing', async () => {
    const refused = async (options: Partial<MakeDeviceOptions>): Promise<string> => {
      const error: unknown = await openDevice(path, making({ type: 'file', ...options })).catch(
        (thrown: unknown) => thrown,
      )
      expect(error).toMatchObject({ code: 'STORAGE_PATH' })
      await expect(fs.stat(path)).rejects.toThrow('ENOENT')
      return (error as Error).message
    }
    expect(await refused({})).toMatch(/nobody has said how large/)
    expect(await refused({ size: 2 ** 50 })).toMatch(/no room for a file of 1.0 PiB/)
    expect(await refused({ size: 5 * mib })).toMatch(/5.0 MiB is too small for a volume/)
  })

  it('makes a file again that was not made to its end, and does not ask for its size again', async () => {
    const stopped = new AbortController()
    const logger = { ...silentLogger, info: () => stopped.abort() }
    const options = { type: 'file', size: 16 * mib } as const
    const first = openDevice(path, making({ ...options, logger, signal: stopped.signal }))
    await expect(first).rejects.toMatchObject({ code: 'DEVICE_MAKING_STOPPED' })
    await expect(fs.stat(path)).rejects.toThrow('ENOENT')
    // Cut off by a kill: the label says that it is being made.
    await makeAndClose(options)
    const whole = await fs.readFile(path)
    const half = Buffer.from(whole.subarray(0, 3 * mib))
    await relabel(half)
    await fs.writeFile(path, half)
    await expect(openDevice(path)).rejects.toThrow(/is not made to its end/)
    const { device } = await openDevice(path, making())
    expect(await device.list()).toEqual([])
    expect((await fs.stat(path)).size).toBe(16 * mib)
    await device.close()
  })

  it('is opened by one process at a time, and names the other one', async () => {
    const { device } = await openDevice(path, making({ type: 'file', size: 16 * mib }))
    const link = join(folder, 'link')
    await fs.symlink(path, link)
    await expect(openDevice(link, making())).rejects.toThrow(`in use by process ${process.pid}`)
    const looking = await openDevice(path)
    expect(await looking.device.list()).toEqual([])
    await looking.device.close()
    await device.close()
    await makeAndClose({})
  })

  it('never overwrites a ComIO volume, however damaged, whatever was asked for', async () => {
    await makeAndClose({ type: 'file', size: 16 * mib })
    const { device } = await openDevice(path, making({ forceFormat: true }))
    expect(await device.list()).toEqual([3])
    await device.close()
    const bytes = await fs.readFile(path)
    for (const at of [40, 65536 + 40]) bytes[at] = 0xee
    await fs.writeFile(path, bytes)
    await expect(openDevice(path, making({ forceFormat: true }))).rejects.toMatchObject({
      code: 'DEVICE_CORRUPT',
    })
    expect((await fs.readFile(path)).equals(bytes)).toBe(true)
  })

  it('without leave to make one, opens what is a volume and changes nothing else', async () => {
    await expect(openDevice(path)).rejects.toMatchObject({ code: 'STORAGE_PATH' })
    await expect(openDevice(folder)).rejects.toMatchObject({ code: 'STORAGE_PATH' })
    expect(await fs.readdir(folder)).toEqual([])
    await fs.writeFile(path, 'text')
    await expect(openDevice(path)).rejects.toThrow(/no volume at .* does not begin as one/)
    await expect(openDevice('/dev/null')).rejects.toThrow(/neither a directory nor a file/)
  })

  it('without leave to make one, opens nothing for writing', async () => {
    await makeAndClose({ type: 'file', size: 16 * mib })
    const { device } = await openDevice(path)
    const opened = await fs.readdir('/proc/self/fd')
    const modes: number[] = []
    for (const fd of opened) {
      if ((await fs.readlink(`/proc/self/fd/${fd}`).catch(() => '')) !== path) continue
      const flags = /flags:\s*(\d+)/.exec(await fs.readFile(`/proc/self/fdinfo/${fd}`, 'utf8'))?.[1]
      modes.push(Number.parseInt(flags ?? '', 8) & 0b11)
    }
    await device.close()
    expect(new Set(modes)).toEqual(new Set([fs.constants.O_RDONLY]))
  })

  it('has a place for the index beside all but block devices', () => {
    expect(defaultIndexPath('/srv/x', 'directory')).toBe('/srv/x/index')
    expect(defaultIndexPath('/srv/x', 'file')).toBe('/srv/x.index')
    expect(defaultIndexPath('/dev/sdx', 'block device')).toBeUndefined()
  })
})

/** As a process leaves the label that is killed while it writes ahead. */
async function relabel(bytes: Buffer): Promise<void> {
  const { encodeFrame } = await import('../../src/device/slot-frame.ts')
  const { decodeLabel, encodeLabel, labelPlace, labelSeed } = await import(
    '../../src/device/slot-layout.ts'
  )
  for (const at of labelPlace.copies) {
    const payload = bytes.subarray(at + 32, at + 32 + bytes.readUInt32LE(at + 24))
    const label = encodeLabel({ ...decodeLabel(payload, 'test'), ready: false })
    encodeFrame(labelPlace, labelSeed, { sequence: 9, payload: label }).copy(bytes, at)
  }
}

const text = (words: string): Buffer => Buffer.from(words, 'latin1')

describe('what else is on a file', () => {
  it.each([
    ['ext4', 0x438, Buffer.from('53ef', 'hex')],
    ['XFS', 0, text('XFSB')],
    ['Btrfs', 0x10040, text('_BHRfS_M')],
    ['swap space', 4086, text('SWAPSPACE2')],
    ['LVM', 512, text('LABELONE')],
    ['LUKS', 0, Buffer.from('4c554b53babe', 'hex')],
    ['Linux RAID', 4096, Buffer.from('fc4e2ba9', 'hex')],
    ['Linux RAID', 32 * mib - 8192, Buffer.from('fc4e2ba9', 'hex')],
    ['Linux RAID', 32 * mib - 65536, Buffer.from('fc4e2ba9', 'hex')],
    ['ZFS', 128 * 1024, Buffer.from('0cb1ba0000000000', 'hex')],
    ['ZFS', 32 * mib - 128 * 1024, Buffer.from('0000000000bab10c', 'hex')],
    ['GPT', 512, text('EFI PART')],
    ['GPT', 32 * mib - 512, text('EFI PART')],
    ['MBR', 510, Buffer.from('55aa', 'hex')],
    ['at byte 1000000', 1_000_000, text('x')],
    ['at byte 33000000', 33_000_000, text('x')],
    ['33554432 bytes', 0, Buffer.alloc(1)],
  ])('%s (at %i) is named and not overwritten', async (name, at, bytes) => {
    const content = Buffer.alloc(32 * mib)
    bytes.copy(content, at)
    await fs.writeFile(path, content)
    const refused: unknown = await openDevice(path, making()).catch((error: unknown) => error)
    expect(refused).toMatchObject({ code: 'DEVICE_FOREIGN' })
    expect((refused as Error).message).toContain(name)
    expect((await fs.readFile(path)).equals(content)).toBe(true)
  })

  it('goes when that is asked for by name', async () => {
    await fs.writeFile(path, Buffer.alloc(16 * mib, 0x55))
    await makeAndClose({ forceFormat: true })
    expect(logged[0]).toMatch(/is overwritten/)
    expect((await fs.stat(path)).size).toBe(16 * mib)
  })
})

/** A loop device over `file`, or why there is none. */
function attachLoop(file: string): { readonly device: string } | { readonly missing: string } {
  try {
    const device = execFileSync('losetup', ['-f', '--show', file], { stdio: 'pipe' })
    return { device: device.toString().trim() }
  } catch (error) {
    return { missing: error instanceof Error ? error.message.trim() : String(error) }
  }
}

describe('a block device', () => {
  it('is used as a whole, by one process alone, and not while it holds something else', async (context) => {
    const image = join(folder, 'disk')
    await fs.writeFile(image, Buffer.alloc(24 * mib + 512))
    const loop = attachLoop(image)
    if ('missing' in loop) {
      process.stderr.write(`no test on a block device: ${loop.missing}\n`)
      context.skip(`this machine gives no loop device: ${loop.missing}`)
      return
    }
    path = loop.device
    try {
      const disk = await fs.open(path, 'r+')
      await disk.write(text('SWAPSPACE2'), 0, 10, 4086)
      await disk.write(text('EFI PART'), 0, 8, 24 * mib)
      await disk.sync()
      await disk.close()
      await expect(openDevice(path, making())).rejects.toThrow(/has swap space/)
      const opened = await openDevice(path, making({ forceFormat: true }))
      expect([opened.kind, opened.capacityBytes]).toEqual(['block device', 22 * mib])
      const segment = await opened.device.create(0, mib)
      await segment.write([text('kept')], 8192)
      await segment.sync()
      await segment.close()
      await expect(openDevice(path, making())).rejects.toThrow(`process ${process.pid}`)
      // Not by another program either.
      expect(() => execFileSync('mkfs.ext4', ['-q', path], { stdio: 'pipe' })).toThrow()
      await opened.device.close()
      const again = await openDevice(path, making())
      const found = Buffer.alloc(4)
      await (await again.device.open(0)).read(found, 8192)
      expect(found.toString()).toBe('kept')
      await again.device.close()
      // Nothing of what was there before is seen by others.
      const end = (await fs.readFile(image)).subarray(24 * mib)
      expect(end.every((byte) => byte === 0)).toBe(true)
    } finally {
      execFileSync('losetup', ['-d', path])
    }
  })
})
