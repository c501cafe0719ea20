import { once } from 'node:events'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { serveUntilStopped } from '../../src/cli/serve-until-stopped.ts'
import { withStopSignal } from '../../src/cli/stop-signals.ts'

afterEach(() => {
  vi.restoreAllMocks()
})

const names = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

function listenersOf(): number {
  return names.reduce((sum, name) => sum + process.listenerCount(name), 0)
}

describe('withStopSignal', () => {
  test.each(names)('%s aborts the work, and no listener stays', async (name) => {
    const before = listenersOf()
    const result = await withStopSignal(async (signal) => {
      const aborted = once(signal, 'abort')
      process.emit(name)
      await aborted
      return 'stopped'
    })
    expect(result).toBe('stopped')
    expect(listenersOf()).toBe(before)
  })

  test('the second request ends the process at once', async () => {
    const exit = vi.spyOn(process, 'exit').mockImplementation(() => undefined as never)
    await withStopSignal(async () => {
      process.emit('SIGTERM')
      expect(exit).not.toHaveBeenCalled()
      process.emit('SIGTERM')
      expect(exit).toHaveBeenCalledWith(1)
    })
  })

  test('no listener stays when the work fails', async () => {
    const before = listenersOf()
    await expect(withStopSignal(() => Promise.reject(new Error('no')))).rejects.toThrow('no')
    expect(listenersOf()).toBe(before)
  })
})

describe('serveUntilStopped', () => {
  function site() {
    const { promise: closed, resolve, reject } = Promise.withResolvers<void>()
    const close = vi.fn(async () => resolve())
    const reload = vi.fn(async () => undefined)
    return { closed, close, reload, reject, resolve }
  }

  test('closes the site when a signal asks for it', async () => {
    const running = site()
    const started = Promise.withResolvers<void>()
    const served = serveUntilStopped(async () => {
      started.resolve()
      return running
    })
    await started.promise
    process.emit('SIGTERM')
    await served
    expect(running.close).toHaveBeenCalledOnce()
  })

  test('SIGHUP makes the site reload and go on', async () => {
    const running = site()
    const started = Promise.withResolvers<void>()
    const served = serveUntilStopped(async () => {
      started.resolve()
      return running
    })
    await started.promise
    await new Promise(setImmediate)
    process.emit('SIGHUP')
    process.emit('SIGHUP')
    expect(running.reload).toHaveBeenCalledTimes(2)
    expect(running.close).not.toHaveBeenCalled()
    process.emit('SIGTERM')
    await served
  })

  test('a signal during the start stops the site once it has started', async () => {
    const running = site()
    await serveUntilStopped(async (signal) => {
      process.emit('SIGINT')
      expect(signal.aborted).toBe(true)
      return running
    })
    expect(running.close).toHaveBeenCalledOnce()
  })

  test('passes on why a site had to stop', async () => {
    const running = site()
    const served = serveUntilStopped(async () => {
      running.reject(new Error('the disk is gone'))
      return running
    })
    await expect(served).rejects.toThrow('the disk is gone')
  })

  test('passes on why a site did not start', async () => {
    const served = serveUntilStopped(() => Promise.reject(new Error('port in use')))
    await expect(served).rejects.toThrow('port in use')
  })
})
