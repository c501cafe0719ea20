import { spawn } from 'node:child_process'
import { once } from 'node:events'
import * as fs from 'node:fs/promises'
import { createServer, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { systemClock } from '../../src/base/clock.ts'
import { systemRandom } from '../../src/base/random.ts'
import { VolumeInUseError } from '../../src/device/errors.ts'
import { acquireVolumeLock, type VolumeLockOptions } from '../../src/device/volume-lock.ts'
import { ManualClock } from '../s3/manual-clock.ts'

const kinds = process.platform === 'linux' ? (['named', 'file'] as const) : (['file'] as const)

describe.each(kinds)('The lock on a volume id (%s)', (kind) => {
  let folder: string
  let options: VolumeLockOptions

  beforeEach(async () => {
    folder = await fs.mkdtemp(join(tmpdir(), 'comio-lock-'))
    options = {
      volumeId: Buffer.from(systemRandom.bytes(16)).toString('hex'),
      clock: systemClock,
      ...(kind === 'file' ? { socketFolder: folder } : {}),
    }
  })
  afterEach(() => fs.rm(folder, { recursive: true }))

  it('is held by one at a time, and the refused one learns the process id', async () => {
    const lock = await acquireVolumeLock(options)
    const refused = await acquireVolumeLock(options).catch((error: unknown) => error)
    expect(refused).toBeInstanceOf(VolumeInUseError)
    expect((refused as VolumeInUseError).message).toContain(`process ${process.pid}`)
    await lock.release()
    await (await acquireVolumeLock(options)).release()
  })

  it('does not stand in the way of another volume', async () => {
    const lock = await acquireVolumeLock(options)
    const other = await acquireVolumeLock({ ...options, volumeId: 'ff'.repeat(16) })
    await other.release()
    await lock.release()
  })

  it('is free again when its holder was killed', async () => {
    const holder = spawn(process.execPath, ['--input-type=module', '-e', holderScript(options)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const [line] = await once(createInterface(holder.stdout), 'line')
    expect(line).toBe('held')
    await expect(acquireVolumeLock(options)).rejects.toThrow(`process ${holder.pid}`)
    holder.kill('SIGKILL')
    await once(holder, 'exit')
    await (await acquireVolumeLock(options)).release()
  })
})

describe('The lock on a volume id: a holder', () => {
  let folder: string
  beforeEach(async () => {
    folder = await fs.mkdtemp(join(tmpdir(), 'comio-lock-'))
  })
  afterEach(() => fs.rm(folder, { recursive: true }))

  async function hold(answer: (socket: Socket) => void): Promise<Server> {
    const holder = createServer(answer)
    holder.listen(join(folder, 'comio-volume-aa.sock'))
    await once(holder, 'listening')
    return holder
  }

  it('that takes seconds to answer is named', async () => {
    const clock = new ManualClock()
    const slow = await hold((socket) => {
      clock.advance(5000)
      socket.end('4711\n')
    })
    const options = { volumeId: 'aa', clock, socketFolder: folder }
    await expect(acquireVolumeLock(options)).rejects.toThrow(/process 4711/)
    slow.close()
  })

  it('that does not answer still holds', async () => {
    const silent = await hold(() => undefined)
    // Time passes at once: the wait for the answer is over as soon as it begins.
    const clock = {
      ...systemClock,
      after: (_ms: number, callback: () => void) => {
        queueMicrotask(callback)
        return { cancel: () => undefined }
      },
    }
    const options = { volumeId: 'aa', clock, socketFolder: folder }
    await expect(acquireVolumeLock(options)).rejects.toThrow(/another process/)
    silent.close()
  })
})

function holderScript(options: VolumeLockOptions): string {
  const source = (path: string): string => JSON.stringify(new URL(path, import.meta.url).href)
  const { volumeId, socketFolder } = options
  return `
    import { acquireVolumeLock } from ${source('../../src/device/volume-lock.ts')}
    import { systemClock } from ${source('../../src/base/clock.ts')}
    const options = ${JSON.stringify({ volumeId, socketFolder })}
    await acquireVolumeLock({ ...options, clock: systemClock })
    console.log('held')
    setTimeout(() => undefined, 60_000)
  `
}
